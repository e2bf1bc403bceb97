package chat

import (
	"fmt"
	"sync"
)

// room is where the players of the game session are.
type room struct {
	mu      sync.Mutex
	game    string          // the id of the game session; empty until it begins
	taken   map[string]bool // player session ids of those who are here or at the door
	players map[*player]bool
}

func newRoom() *room {
	return &room{taken: make(map[string]bool), players: make(map[*player]bool)}
}

func (r *room) open(gameSessionID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.game = gameSessionID
}

// knock takes a player session, until it is released, and returns the game session; or it says why it cannot be taken.
func (r *room) knock(playerSessionID string) (gameSessionID, refusal string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.game == "":
		return "", "no game session has begun here"
	case r.taken[playerSessionID]:
		return "", "somebody plays with this player session"
	}
	r.taken[playerSessionID] = true
	return r.game, ""
}

func (r *room) release(playerSessionID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.taken, playerSessionID)
}

func (r *room) enter(p *player) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellAll("* " + p.name + " has joined")
	r.players[p] = true
	p.tell(fmt.Sprintf("* welcome, %s; players here: %d. What you type goes to all of them; /quit leaves", p.name, len(r.players)))
}

// say tells all players what one of them says.
func (r *room) say(p *player, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellAll(p.name + ": " + line)
}

// leave lets a player go with a last word. Nobody tells it anything any more.
func (r *room) leave(p *player, last string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.players, p)
	p.tell(last)
	close(p.outbox)
	r.tellAll("* " + p.name + " has left")
}

func (r *room) tellAll(line string) {
	for p := range r.players {
		p.tell(line)
	}
}
