package allocator

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"regexp"
	"strings"

	"github.com/google/uuid"
)

// PlayerSessionID names a player session: "psess-" and a UUID. It admits a player to a game server, so it cannot be
// guessed, and its first byte is the partition, so that whoever has it finds the player session without a lookup.
type PlayerSessionID string

// GameSessionID names a game session by its ARN: arn:aws:gamelift:<region>::gamesession/<fleet id>/<id>.
type GameSessionID string

// FleetID names a fleet: "fleet-" and a UUID. Operations take a fleet's ARN in its place.
type FleetID string

const playerSessionIDPrefix = "psess-"

func playerSessionID(r ref) PlayerSessionID {
	return PlayerSessionID(playerSessionIDPrefix + r.uuid().String())
}

// ref returns where the player session is kept, and false when no player session can have this id.
func (id PlayerSessionID) ref() (ref, bool) {
	text, ok := strings.CutPrefix(string(id), playerSessionIDPrefix)
	if !ok || len(text) != 36 {
		return ref{}, false
	}
	parsed, err := uuid.Parse(text)
	if err != nil || parsed.String() != text {
		return ref{}, false
	}
	return refOf(parsed), true
}

// namePattern is what a name that stands in keys and ARNs may have.
var namePattern = regexp.MustCompile(`^[a-zA-Z0-9-]+$`)

// checkName fails when a name cannot stand in keys and ARNs.
func checkName(member, name string) error {
	if !namePattern.MatchString(name) {
		return failure(ErrInvalidRequest, "%s is %q; it must be letters, digits and hyphens", member, name)
	}
	return nil
}

// isName tells whether a text can be the id or name of something in the control plane: no key of anything else begins with its key.
func isName(text string) bool { return text != "" && !strings.Contains(text, ":") }

// arn returns the ARN of a resource of this service: resource is "<type>/<id>". The account field stays empty.
func (a *Allocator) arn(resource string) string {
	return "arn:aws:gamelift:" + a.region + "::" + resource
}

func (a *Allocator) gameSessionID(fleet FleetID, id string) GameSessionID {
	return GameSessionID(a.arn("gamesession/" + string(fleet) + "/" + id))
}

// gameSessionRef returns where the game session is kept, and false when no game session here can have this id.
func (a *Allocator) gameSessionRef(id GameSessionID) (ref, bool) {
	game, _, ok := a.gameSessionOf(id)
	return game, ok
}

// gameSessionOf returns the fleet of the game session, too.
func (a *Allocator) gameSessionOf(id GameSessionID) (ref, FleetID, bool) {
	fleet, name, ok := a.splitGameSessionID(id)
	if !ok {
		return ref{}, "", false
	}
	return gameSessionRefOf(FleetID(fleet), name), FleetID(fleet), true
}

func (a *Allocator) splitGameSessionID(id GameSessionID) (fleet, name string, ok bool) {
	resource, ok := strings.CutPrefix(string(id), a.arn("gamesession/"))
	if !ok {
		return "", "", false
	}
	fleet, name, ok = strings.Cut(resource, "/")
	return fleet, name, ok && fleet != "" && name != "" && !strings.Contains(name, "/")
}

// throughAlias returns the id of the game session that is meant when the fleet in the id is an alias: that of the fleet to
// which the alias leads. It costs nothing when there is no alias.
func (a *Allocator) throughAlias(ctx context.Context, id GameSessionID) (GameSessionID, error) {
	fleet, name, ok := a.splitGameSessionID(id)
	if !ok || !strings.HasPrefix(fleet, aliasIDPrefix) {
		return id, nil
	}
	resolved, err := a.ResolveAlias(ctx, AliasID(fleet))
	if err != nil {
		return "", err
	}
	return a.gameSessionID(resolved, name), nil
}

func gameSessionRefOf(fleet FleetID, id string) ref {
	digest := sha256.Sum256([]byte(string(fleet) + "/" + id))
	return refOf([16]byte(digest[:16]))
}

// fleetID returns the fleet's id without the ARN around it, if there is one. An ARN of another region stays as it is:
// no fleet here has it.
func (a *Allocator) fleetID(idOrARN FleetID) FleetID {
	if id, ok := strings.CutPrefix(string(idOrARN), a.arn("fleet/")); ok {
		return FleetID(id)
	}
	return idOrARN
}

// derive makes 32 bytes of the store's secret and the parts: the same for the same parts in every instance and
// every retry, and beyond guessing for all who lack the secret. No two lists of parts read as the same bytes.
func (a *Allocator) derive(parts ...string) [sha256.Size]byte {
	d, _ := a.derivers.Get().(*deriver)
	if d == nil {
		d = &deriver{mac: hmac.New(sha256.New, a.secret)}
	}
	defer a.derivers.Put(d)
	d.buffer = d.buffer[:0]
	for _, part := range parts {
		d.buffer = binary.BigEndian.AppendUint64(d.buffer, uint64(len(part)))
		d.buffer = append(d.buffer, part...)
	}
	d.mac.Reset()
	d.mac.Write(d.buffer)
	return [sha256.Size]byte(d.mac.Sum(d.buffer[:0]))
}

// deriver is what one derivation needs, keyed with the secret: another one may use it again.
type deriver struct {
	mac    hash.Hash
	buffer []byte
}

// deriveUUID shapes what derive makes as a UUID of version 8 (RFC 9562, section 5.8).
func (a *Allocator) deriveUUID(parts ...string) uuid.UUID {
	sum := a.derive(parts...)
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// reservationRef returns the ref of the player session that a call reserves for a player in a game session: the same
// for every retry of the call.
func (a *Allocator) reservationRef(retryToken string, game ref, playerID string) ref {
	id := a.deriveUUID("player session", retryToken, game.text, playerID)
	id[0] = byte(game.partition)
	return refOf(id)
}

// shorten derives 16 characters from the parts: what a record keeps to know them again.
func (a *Allocator) shorten(parts ...string) string {
	sum := a.derive(parts...)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// retryToken returns the token, or a new one for a call that has none.
func retryToken(token string) string {
	if token == "" {
		return uuid.NewString()
	}
	return token
}
