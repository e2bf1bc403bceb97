// Package allocator hands out the player slots of game sessions, at most as many as each has, to any number of callers in
// any number of processes that share one Redis.
//
// Its terms and rules are those of Amazon GameLift. A game session has MaximumPlayerSessionCount slots. CreatePlayerSession
// reserves one for a player; when the player connects, the game server calls AcceptPlayerSession; when the player leaves,
// RemovePlayerSession. A player who never shows up loses the slot at the reservation timeout.
//
//	            AcceptPlayerSession            RemovePlayerSession
//	RESERVED ────────────────────────► ACTIVE ────────────────────────► COMPLETED
//	   │                                                                    ▲
//	   ├──── reservation timeout ────► TIMEDOUT                             │
//	   └──── the game session ends ─────────────────────────────────────────┘
//
// A game session runs on a server process: a game server that has registered with ActivateServerProcess and reports its health. An idle
// one is given a new game session, and activates it.
//
//	            ActivateGameSession         TerminateGameSession             its server process ends
//	ACTIVATING ─────────────────────► ACTIVE ──────────────────► TERMINATING ───────────────────────► TERMINATED
//	   │                                │                                                                ▲
//	   └── activation timeout ► ERROR   └──── its server process ends, or is silent for three minutes ───┘
//
// Without server processes game sessions are ACTIVE at once, where that is turned on, and end at once.
//
// Around the slots there is what finds and makes game sessions: fleets with locations and computes, aliases that lead to fleets,
// searches, queues that place new game sessions, and PlacePlayerSessions, which finds a game session with room and reserves there.
//
// # Invariants
//
//  1. A game session never admits a player session when MaximumPlayerSessionCount or more of its player sessions are RESERVED
//     before their deadline or ACTIVE: at any instant, under any concurrency, crash or retry, and under any failover that loses
//     no data.
//  2. CurrentPlayerSessionCount is the number of those player sessions.
//  3. A player session moves only RESERVED to ACTIVE, ACTIVE to COMPLETED, RESERVED to TIMEDOUT, and RESERVED to COMPLETED when
//     its game session ends; COMPLETED and TIMEDOUT are final.
//  4. A reservation that was acknowledged can be read until its retention is over, as durably as Redis was told to keep it.
//  5. A group is reserved whole or not at all.
//  6. Every RESERVED player session has its deadline in the player sessions of its game session, and the game session an entry no
//     later than that in the deadlines of its partition. No other player session has a deadline there.
//  7. A call repeated with its retry token, within the retention, changes nothing a second time, and is answered with what the
//     first one made, as it stands by then.
//  8. Nothing is left of a player session, game session or placement whose retention is over, nor of a fleet, location, compute,
//     alias or queue that was deleted, except that game sessions stay readable by their ids for their retention.
//  9. A game session that is TERMINATED holds no slot and admits nobody, and its status is final.
//  10. A fleet is deleted only when all its game sessions have ended.
//  11. A placement leaves PENDING once. FULFILLED, it has one game session, in which all its players have reservations; otherwise
//     it leaves no game session that has not ended.
//  12. A game session is given to one server process and never moves; a server process has one game session at a time.
//  13. When a server process has ended, or has not reported to be healthy for three minutes, its game session ends; when the game
//     session ends first, the server process is told to end.
//  14. What a server process is to be told it is told at least once, after its first report, as long as it comes back.
//
// Check finds where a store breaks them, and mends it. To tell overselling from a maximum that was lowered, a game session keeps the
// highest maximum that it ever had.
//
// # Time
//
// The clock is that of Redis, in milliseconds. A reservation is over at its deadline, to the millisecond, by three means:
//
//   - Every script that counts, accepts or reads takes a reservation past its deadline for TIMEDOUT, whatever its record says.
//     This alone is what correctness rests on.
//   - Each reservation has a TTL key. Its expiry makes the instance that owns the partition sweep it at once, so that the record
//     says TIMEDOUT too.
//   - Every instance sweeps its partitions each second, and at once those that it takes over, since expiry notifications may get
//     lost.
//
// # Keys
//
// A store has 256 partitions. The partition of a game session is the first byte of the hash of its id, and the keys of the game
// session and its player sessions carry the partition as their hash tag: {0} to {255}. So every script works in one slot of a
// Redis Cluster. The first byte of a player session id is the partition too, which makes the id its own route.
//
//	berth:{p}:gs:<ref>             hash        game session
//	berth:{p}:players:<ref>        sorted set  its player sessions → deadline while RESERVED, +inf while ACTIVE, 0 once ended
//	berth:{p}:ps:<ref>             hash        player session
//	berth:{p}:ttl:<ref>            string      expires at the deadline of the reservation
//	berth:{p}:player:<id>          sorted set  a player's player sessions in the partition → creation
//	berth:{p}:fleet:<id>           sorted set  a fleet's game sessions in the partition → creation
//	berth:{p}:live:<id>            sorted set  those of them that have not ended → creation
//	berth:{p}:deadlines            sorted set  game session → earliest deadline of its reservations
//	berth:{p}:ended                sorted set  player session → end, until the retention is over
//	berth:{p}:ended_games          sorted set  game session → end, until the retention is over
//	berth:{p}:placement:<ref>      hash        placement
//	berth:{p}:pending_placements   sorted set  placement → when it is to be tried next
//	berth:{p}:ended_placements     sorted set  placement → end, until the retention is over
//	berth:{p}:place:<digest>       string      where a PlacePlayerSessions call tries to reserve; expires with the retention
//	berth:{p}:seal:<ref>:<digest>  string      that the game session has refused this call for good; expires likewise
//	berth:{p}:process:<ref>        hash        server process
//	berth:{p}:processes:<id>       sorted set  a fleet's server processes → registration
//	berth:{p}:idle:<id>:<location> sorted set  those of them at a location that may be given a game session → since when
//	berth:{p}:attendance           hash        since when there has always been somebody who sees to them; expires after a while
//	berth:{p}:reviews              sorted set  server process → when it is to be reviewed next
//	berth:{p}:answer:<ref>:<digest>  string    how a request of a server process was answered; expires after a while
//	berth:{p}:gone:<ref>           string      with what a server process that was given up may come back, to be told to end; expires with the retention
//	berth:{p}:mark                 string      written before a wait for replicas; expires at once
//	berth:{control}:…                          the control plane, the instances, and what the store keeps for good
//
// A ref is 16 bytes in base64: of a game session the hash of its id, of a placement likewise, of a player session the UUID in its id.
package allocator
