// Package bench measures a running service, and what it could be at best on the same machine and store.
//
// [Run] drives contenders one after the other, round after round: Berth, and whatever it is compared with. Each contender gets
// the same [Load], from as many callers, so that ratios between them are ratios between what they do. A [Mix] of scenarios says
// what the callers ask for. The [Result] has what each contender answered, how fast, and what the store spent on it.
//
// # Load
//
// In a closed loop each caller waits for its answer before it asks again, so a service that stalls is asked less while it does:
// the stall shows once for each caller. In an open loop requests begin at a rate, whatever the service does, and each latency
// counts from when the request was to begin. A stall then shows in every request that it held up, as it does for players.
//
// # Room
//
// A game session has a limited number of slots. What is measured is reserving, not being refused, so game sessions with room
// are made ahead. Whatever is not a success, such as a game session that is full, is counted by its name and is in no percentile.
package bench
