// Package gameserver is a client of the game-server protocol: what one process of a game server says to Berth, and what it is told,
// over a WebSocket. It speaks the protocol of the Amazon GameLift Server SDK 5 and needs nothing else of Berth.
//
// [Connect] opens the connection of a process. [Process.ProcessReady] offers the process for game sessions and begins its heartbeats.
// From then on the service hands it game sessions by [Config].OnStartGameSession, and the process answers for its players:
//
//	OnStartGameSession    ActivateGameSession             the game session takes players
//	a player connects     AcceptPlayerSession             RESERVED → ACTIVE, or the player is refused
//	a player leaves       RemovePlayerSession             ACTIVE → COMPLETED, its slot is free
//	OnProcessTerminate    ProcessEnding, then Close       the process ends
//
// # Requests
//
// A request that the service refuses fails with an [*Error]. One that it does not answer in time fails with an error that is
// [context.DeadlineExceeded]; it may have happened all the same.
//
// # Dropped connections
//
// A process outlives its connection. When the connection drops, the process connects again by itself, for as long as it takes, and sends
// the requests that still wait for an answer once more, each under the RequestId that it had: a service that has already
// answered one answers the same again. What the service knows of a process it knows by fleet, compute and process id, so
// nothing is announced anew.
//
// # Pushes
//
// The service pushes at least once. Each game session is handed to OnStartGameSession once; the other handlers may be told the same thing
// again. A process that the service has given up, such as one that could not reach it for minutes or whose id another process has
// taken over, is told by OnProcessTerminate once it is heard again.
package gameserver
