package allocator

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Finding is one broken invariant that Check found.
type Finding struct {
	Kind    FindingKind
	Keys    []string // those involved, the one that is wrong first
	Problem string   // what is wrong, for the operator
	Mended  bool     // it was put right
}

// FindingKind says what sort of thing is broken.
type FindingKind string

// The kinds of findings. Those of the second group are reported and never mended: nothing in the store says what would be right,
// or it would cost somebody a slot.
const (
	FindingOrphan        FindingKind = "orphan"         // belongs to what does not exist; mended: deleted
	FindingMissingRecord FindingKind = "missing-record" // a fleet has a location that does not exist; mended: restored
	FindingUnended       FindingKind = "unended"        // lives although what it belongs to has ended; mended: ended
	FindingSlot          FindingKind = "slot"           // a game session disagrees with a player session about its slot
	FindingIndex         FindingKind = "index"          // an index lacks a record, or has it wrongly
	FindingStrayEntry    FindingKind = "stray-entry"    // an index has what does not belong there; mended: removed
	FindingDeadline      FindingKind = "deadline"       // a game session would not be swept in time, or for ever
	FindingExpiry        FindingKind = "expiry"         // a key that has to expire is missing, or does not expire
	FindingEnded         FindingKind = "ended"          // would be kept for ever, or deleted while it lives

	FindingDamagedRecord FindingKind = "damaged-record" // a record lacks what it must have; mended only when that is its end
	FindingOversold      FindingKind = "oversold"       // more player sessions hold slots than the game session ever had
	FindingMisplacedKey  FindingKind = "misplaced-key"  // is not in the partition that its name says
	FindingWrongType     FindingKind = "wrong-type"     // holds another Redis type than keys of this name do
	FindingUnknownKey    FindingKind = "unknown-key"    // begins with berth: and is no key of Berth's
)

// Checked counts what Check walked and found. What Redis lists twice while it resizes its tables counts twice.
type Checked struct {
	Keys           int
	GameSessions   int
	PlayerSessions int
	Placements     int
	Findings       int
	Mended         int // of the findings
}

const (
	scanBatch    = 500 // how many keys a SCAN looks at
	judgedBatch  = 100 // how many members of an index one script judges
	checkWorkers = 16  // how many keys of a server are judged at a time
	// settling is how long ago an instance must have begun what takes it several steps before half of it is a finding.
	settling = 10 * time.Second
)

// OpenStored returns an Allocator for a store that is set up already, with the region that it was set up for and defaults for the
// rest. Unlike Open it never writes. It fails with ErrNotFound when nothing has set the store up, and with ErrInvalidRequest as Open does.
func OpenStored(ctx context.Context, client redis.UniversalClient) (*Allocator, error) {
	a, err := newAllocator(Config{Redis: client})
	if err != nil {
		return nil, err
	}
	stored, err := client.HMGet(ctx, storeKey, "format", "partitions", "secret", "region").Result()
	if err != nil {
		return nil, a.failed(err, 0)
	}
	facts := fields(stored)
	if facts.text(0) == "" {
		return nil, failure(ErrNotFound, "there is no %s, so this is no store of Berth's, or not the right database", storeKey)
	}
	a.region = facts.text(3)
	if err := a.adopt(facts); err != nil {
		return nil, err
	}
	return a, nil
}

// Check walks the whole store and reports every broken invariant, also while the store is in use: it blocks nobody, and what a
// store in use passes through is no finding. With repair it mends what it can. Records are right, and what is derived from them
// is mended; nobody is evicted.
//
// Each finding is the verdict of one script over all the keys that it is about, which mends what it found in the same step.
// Excepted is what spans partitions: a game session whose fleet is gone is one only after ten seconds. What is due, such as a
// reservation past its deadline, is no finding: that is for the sweep.
//
// report is called for each finding, by one goroutine at a time. The check costs two SCANs of the store and about three commands
// a key, sixteen keys of each server at a time, and it keeps nothing in memory but these. It fails as soon as the store does.
func (a *Allocator) Check(ctx context.Context, repair bool, report func(Finding)) (Checked, error) {
	c := &checker{Allocator: a, repair: repair, report: report}
	err := c.walk(ctx, "berth:*", c.checkKey)
	if err == nil { // what holds slots is counted once it is known to hold them
		err = c.walk(ctx, "berth:{*}:gs:*", c.checkGameSession)
	}
	return c.checked, err
}

// checker is one run of Check.
type checker struct {
	*Allocator
	repair bool

	mu      sync.Mutex
	report  func(Finding)
	checked Checked
}

// storedKey is a key of the store, taken apart.
type storedKey struct {
	text string
	partition
	kind, name string
	redisType  string
}

func (k storedKey) ref() ref { return ref{k.partition, k.name} }

// walk calls check for each key of a pattern, several at a time, until one fails.
func (c *checker) walk(ctx context.Context, pattern string, check func(context.Context, storedKey) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var failed error
	var once sync.Once
	fail := func(err error) {
		once.Do(func() { failed = err }) // the others may fail only because this one stops them
		stop()
	}
	err := c.eachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		var cursor uint64
		for {
			keys, next, err := master.Scan(ctx, cursor, pattern, scanBatch).Result()
			if err != nil {
				err := c.failed(err, 0)
				fail(err)
				return err
			}
			c.checkKeys(ctx, keys, check, fail)
			if err := ctx.Err(); err != nil {
				return err
			}
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	})
	switch {
	case failed != nil:
		return failed
	case err != nil: // there is no master to be found
		return c.failed(err, 0)
	case ctx.Err() != nil:
		return c.failed(ctx.Err(), 0)
	}
	return nil
}

// checkKeys calls check for each key, several at a time, and waits for all.
func (c *checker) checkKeys(ctx context.Context, keys []string, check func(context.Context, storedKey) error, fail func(error)) {
	types := make([]*redis.StatusCmd, len(keys))
	err := c.pipelined(ctx, func(pipe redis.Pipeliner) {
		for i, key := range keys {
			types[i] = pipe.Type(ctx, key)
		}
	})
	if err != nil {
		fail(err)
		return
	}
	free := make(chan struct{}, checkWorkers)
	var workers sync.WaitGroup
	for i, key := range keys {
		free <- struct{}{}
		workers.Go(func() {
			defer func() { <-free }()
			k := parseKey(key)
			k.redisType = types[i].Val()
			if err := check(ctx, k); err != nil {
				fail(err)
			}
		})
	}
	workers.Wait()
}

// parseKey takes a key apart. What is no key of Berth's has no kind.
func parseKey(key string) storedKey {
	k := storedKey{text: key}
	if rest, ok := strings.CutPrefix(key, controlPrefix); ok {
		return parseControlKey(k, rest)
	}
	rest, ok := strings.CutPrefix(key, "berth:{")
	number, rest, closed := strings.Cut(rest, "}:")
	p, err := strconv.ParseUint(number, 10, 8)
	if !ok || !closed || err != nil || strconv.FormatUint(p, 10) != number {
		return k
	}
	kind, name, named := strings.Cut(rest, ":")
	if of, known := keyKinds[kind]; !known || named != (of.naming != unnamed) {
		return k
	}
	k.partition, k.kind, k.name = partition(p), kind, name
	return k
}

// parseControlKey takes a key of the control plane apart. What belongs to a fleet or location is of the kind "<type>:<what>", and its
// name begins with that of the fleet or location.
func parseControlKey(k storedKey, rest string) storedKey {
	kind, name, named := strings.Cut(rest, ":")
	naming := unnamed
	if named {
		naming = byName
	}
	if owner, part, owned := strings.Cut(name, ":"); owned && (kind == "fleet" || kind == "location") {
		what, of, ofOne := strings.Cut(part, ":")
		kind, name = kind+":"+what, owner
		if ofOne {
			kind, name = kind+":", owner+":"+of
		}
	}
	if of, known := keyKinds[controlPrefix+kind]; known && of.naming == naming {
		k.kind, k.name = controlPrefix+kind, name
	}
	return k
}

// naming says what follows the kind in a key.
type naming int

const (
	unnamed naming = iota // nothing
	byName
	byRef    // a ref of the partition
	byRefAnd // a ref, a colon and more
)

// keyKind is what the check knows of the keys of a kind.
type keyKind struct {
	naming    naming
	redisType string
	check     func(*checker, context.Context, storedKey) error // nil: there is nothing to judge
}

// keyKinds are the kinds of all keys that a store has: those of a partition, and those of the control plane by their beginnings. What a
// fleet has by name is of another kind than what it has once.
var keyKinds = map[string]keyKind{
	"gs":                 {byRef, "hash", nil}, // in the second walk
	"players":            {byRef, "zset", membersOf("ps:", "game_session")},
	"ps":                 {byRef, "hash", (*checker).checkPlayerSession},
	"ttl":                {byRef, "string", (*checker).checkTTL},
	"player":             {byName, "zset", membersOf("ps:", "player")},
	"fleet":              {byName, "zset", membersOf("gs:", "fleet")},
	"live":               {byName, "zset", membersOf("gs:", "fleet")},
	"deadlines":          {unnamed, "zset", membersOf("gs:", "")},
	"ended":              {unnamed, "zset", membersOf("ps:", "")},
	"ended_games":        {unnamed, "zset", membersOf("gs:", "")},
	"process":            {byRef, "hash", (*checker).checkServerProcess},
	"processes":          {byName, "zset", membersOf("process:", "fleet")},
	"idle":               {byName, "zset", (*checker).checkIdle},
	"reviews":            {unnamed, "zset", membersOf("process:", "")},
	"attendance":         {unnamed, "hash", (*checker).checkExpiry},
	"gone":               {byRef, "string", (*checker).checkExpiry},
	"answer":             {byRefAnd, "string", (*checker).checkExpiry},
	"placement":          {byRef, "hash", (*checker).checkPlacement},
	"pending_placements": {unnamed, "zset", membersOf("placement:", "")},
	"ended_placements":   {unnamed, "zset", membersOf("placement:", "")},
	"place":              {byName, "string", (*checker).checkExpiry},
	"mark":               {unnamed, "string", (*checker).checkExpiry},
	"seal":               {byRefAnd, "string", (*checker).checkExpiry},

	controlPrefix + "mark":            {unnamed, "string", (*checker).checkExpiry},
	storeKey:                          {unnamed, "hash", nil},
	instancesKey:                      {unnamed, "zset", nil},
	locationsKey:                      {unnamed, "zset", resourcesOf(locationKey)},
	fleetsKey:                         {unnamed, "zset", resourcesOf(func(id string) string { return fleetKey(FleetID(id)) })},
	aliasesKey:                        {unnamed, "zset", resourcesOf(func(id string) string { return aliasKey(AliasID(id)) })},
	queuesKey:                         {unnamed, "zset", resourcesOf(queueKey)},
	controlPrefix + "location":        {byName, "hash", resourceIn(locationsKey)},
	controlPrefix + "location:fleets": {byName, "set", (*checker).checkLocationFleets},
	controlPrefix + "alias":           {byName, "hash", resourceIn(aliasesKey)},
	controlPrefix + "queue":           {byName, "hash", resourceIn(queuesKey)},
	controlPrefix + "tags":            {byName, "hash", (*checker).checkTags},
	controlPrefix + "fleet":           {byName, "hash", resourceIn(fleetsKey)},
	controlPrefix + "fleet:locations": {byName, "zset", (*checker).checkFleetLocations},
	controlPrefix + "fleet:compute:":  {byName, "hash", (*checker).checkCompute},
	controlPrefix + "fleet:computes":  {byName, "zset", (*checker).checkComputes},
	controlPrefix + "fleet:computes:": {byName, "zset", (*checker).checkComputes},
	controlPrefix + "fleet:tokens:":   {byName, "zset", (*checker).checkTokens},
	controlPrefix + "fleet:creators":  {byName, "zset", (*checker).checkCreators},
	controlPrefix + "fleet:creator:":  {byName, "zset", (*checker).checkCreators},
}

// checkKey judges a key of any kind.
func (c *checker) checkKey(ctx context.Context, k storedKey) error {
	if k.redisType == "none" { // it is gone
		return nil
	}
	c.count(k.kind)
	of, known := keyKinds[k.kind]
	if !known {
		c.found(Finding{Kind: FindingUnknownKey, Keys: []string{k.text}, Problem: "it begins with berth: and is no key of Berth's"})
		return nil
	}
	if of.naming == byRef || of.naming == byRefAnd {
		text, _, more := strings.Cut(k.name, ":")
		if r, ok := parseRef(text); !ok || r.partition != k.partition || more != (of.naming == byRefAnd) {
			c.found(Finding{Kind: FindingMisplacedKey, Keys: []string{k.text}, Problem: "what follows the partition is no ref of the partition"})
			return nil
		}
	}
	if k.redisType != of.redisType {
		c.found(Finding{Kind: FindingWrongType, Keys: []string{k.text}, Problem: "it holds a " + k.redisType + " and should hold a " + of.redisType})
		return nil
	}
	if of.check == nil {
		return nil
	}
	return of.check(c, ctx, k)
}

func (c *checker) count(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked.Keys++
	switch kind {
	case "gs":
		c.checked.GameSessions++
	case "ps":
		c.checked.PlayerSessions++
	case "placement":
		c.checked.Placements++
	}
}

func (c *checker) found(f Finding) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked.Findings++
	if f.Mended {
		c.checked.Mended++
	}
	c.report(f)
}

// judge runs a script that judges, and reports its findings. ok is false when what it was to judge has changed since it was read.
func (c *checker) judge(ctx context.Context, s script, keys []string, args ...any) (ok bool, err error) {
	all, ok, err := c.ask(ctx, s, keys, args...)
	for _, f := range all {
		c.found(f)
	}
	return ok, err
}

// ask is judge, except that its findings are the caller's to report.
//
// What the script cannot work with is damaged.
func (c *checker) ask(ctx context.Context, s script, keys []string, args ...any) (all []Finding, ok bool, err error) {
	reply, err := c.run(ctx, s, keys, append([]any{flag(c.repair)}, args...)...)
	if err != nil {
		switch {
		case isWrongType(err): // a finding of its own
			return nil, true, nil
		case errors.Is(err, ErrInternal):
			return []Finding{{Kind: FindingDamagedRecord, Keys: keys[:1], Problem: "it cannot be judged: " + err.Error()}}, true, nil
		}
		return nil, false, err
	}
	if reply.text(0) == "CHANGED" {
		return nil, false, nil
	}
	if reply.text(0) != "OK" {
		return nil, false, s.unexpected(reply)
	}
	for i := range reply[1:] {
		told := reply.list(1 + i)
		f := Finding{Kind: FindingKind(told.text(0)), Mended: told.int(1) == 1, Problem: told.text(2)}
		for k := 3; k < len(told); k++ {
			f.Keys = append(f.Keys, told.text(k))
		}
		all = append(all, f)
	}
	return all, true, nil
}

// isWrongType tells whether a command or script met a key of another type than it works with.
func isWrongType(err error) bool { return err != nil && strings.Contains(err.Error(), "WRONGTYPE") }

// flag is a truth as the scripts take it.
func flag(is bool) int {
	if is {
		return 1
	}
	return 0
}

// read reads fields of a record, empty where the record is of the wrong type.
func (c *checker) read(ctx context.Context, key string, names ...string) (fields, error) {
	stored, err := c.redis.HMGet(ctx, key, names...).Result()
	if err != nil && !isWrongType(err) {
		return nil, c.failed(err, 0)
	}
	return stored, nil
}

func (c *checker) checkPlayerSession(ctx context.Context, k storedKey) error {
	for {
		of, err := c.read(ctx, k.text, "game_session", "player")
		if err != nil {
			return err
		}
		player, game := k.ref(), ref{k.partition, of.text(0)}
		ok, err := c.judge(ctx, checkPlayerSessionScript, []string{
			playerSessionKey(player), gameSessionKey(game), playerSessionsKey(game),
			playerKey(k.partition, of.text(1)), deadlinesKey(k.partition), endedKey(k.partition), ttlKey(player),
		}, player.text, game.text, of.text(1))
		if err != nil || ok {
			return err
		}
		if gone, err := c.isGone(ctx, k.text); gone || err != nil {
			return err
		}
	}
}

func (c *checker) isGone(ctx context.Context, key string) (bool, error) {
	there, err := c.exists(ctx, key)
	return !there, err
}

func (c *checker) checkGameSession(ctx context.Context, k storedKey) error {
	if k.kind != "gs" || k.redisType != "hash" { // reported in the first walk
		return nil
	}
	if r, ok := parseRef(k.name); !ok || r.partition != k.partition {
		return nil
	}
	for again := false; ; again = true {
		values, err := c.read(ctx, k.text, gameFactNames...)
		if err != nil {
			return err
		}
		of := recordOf(gameFactNames, values)
		game, fleet, id := k.ref(), FleetID(of["fleet"]), of["id"]
		if gameSessionRefOf(fleet, id) != game {
			if gone, err := c.isGone(ctx, k.text); gone || err != nil {
				return err
			}
			if !again { // it may have been purged and created again
				continue
			}
			c.found(Finding{Kind: FindingDamagedRecord, Keys: []string{k.text}, Problem: "the game session lacks its fleet or id, or has those of another one"})
			return nil
		}
		gone, what := "", ""
		if status := GameSessionStatus(of["status"]); status == GameSessionActive || status == GameSessionActivating {
			gone, what, err = c.goneFrom(ctx, game, of)
			if err != nil {
				return err
			}
		}
		all, ok, err := c.ask(ctx, checkGameSessionScript, []string{
			gameSessionKey(game), playerSessionsKey(game), fleetGameSessionsKey(k.partition, fleet), liveGameSessionsKey(k.partition, fleet),
			deadlinesKey(k.partition), endedGamesKey(k.partition),
		}, game.text, string(fleet), gone, what, settling.Milliseconds(), reviewInterval.Milliseconds(), hostInterval.Milliseconds())
		if err != nil {
			return err
		}
		for _, f := range all {
			if f.Kind == FindingUnended && c.repair {
				if f.Mended, err = c.end(ctx, c.gameSessionID(fleet, id)); err != nil {
					return err
				}
			}
			c.found(f)
		}
		if ok {
			return nil
		}
	}
}

// goneFrom tells what a game session belongs to that is gone, and its key; nothing if all is there. What is gone does not come back.
func (c *checker) goneFrom(ctx context.Context, game ref, stored record) (key, what string, err error) {
	fleet := FleetID(stored["fleet"])
	if exists, err := c.exists(ctx, fleetKey(fleet)); err != nil || !exists {
		return fleetKey(fleet), "fleet", err
	}
	on, hosted := hostOf(stored)
	if !hosted {
		return "", "", nil
	}
	process, err := c.read(ctx, serverProcessKey(on.ref), "life", "game")
	if err != nil || process.text(0) == on.life && process.text(1) == game.text {
		return "", "", err
	}
	return serverProcessKey(on.ref), "server process", nil
}

// end terminates a game session that should have ended.
func (c *checker) end(ctx context.Context, id GameSessionID) (bool, error) {
	_, err := c.TerminateGameSession(ctx, TerminateGameSessionInput{GameSessionID: id, Mode: ForceTerminate})
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrInvalidGameSessionStatus) || isWrongType(err) {
		return false, nil
	}
	return err == nil, err
}

func (c *checker) checkPlacement(ctx context.Context, k storedKey) error {
	placement := k.ref()
	stored, _, err := c.readPlacement(ctx, placement)
	if err != nil || len(stored) == 0 {
		return err
	}
	if placementRef(stored["id"]) != placement {
		c.found(Finding{Kind: FindingDamagedRecord, Keys: []string{k.text}, Problem: "the placement lacks its id, or has that of another one"})
		return nil
	}
	_, err = c.judge(ctx, checkGameSessionPlacementScript, placementKeys(placement), placement.text)
	return err
}

func (c *checker) checkServerProcess(ctx context.Context, k storedKey) error {
	for again := false; ; again = true {
		of, err := c.read(ctx, k.text, "fleet", "compute", "id", "location")
		if err != nil {
			return err
		}
		id := ServerProcessID{FleetID(of.text(0)), of.text(1), of.text(2)}
		if id.ref() != k.ref() {
			if gone, err := c.isGone(ctx, k.text); gone || err != nil {
				return err
			}
			if !again { // it may have ended and registered again
				continue
			}
			c.found(Finding{Kind: FindingDamagedRecord, Keys: []string{k.text}, Problem: "the server process lacks its fleet, compute or id, or has those of another one"})
			return nil
		}
		p := process{ref: k.ref(), fleet: id.FleetID, location: of.text(3)}
		ok, err := c.judge(ctx, checkServerProcessScript, p.keys(4), p.text, p.location, serverProcessLife.Milliseconds())
		if err != nil || ok {
			return err
		}
	}
}

// checkIdle judges the list of idle server processes of a fleet at a location.
func (c *checker) checkIdle(ctx context.Context, k storedKey) error {
	_, location, _ := strings.Cut(k.name, ":")
	return c.members(ctx, k.text, func(member string) string { return k.prefix() + "process:" + member }, "location", location)
}

// membersOf judges the members of an index of a partition: they name records under a prefix, which have the name of the index in a
// field, if one is given.
func membersOf(prefix, field string) func(*checker, context.Context, storedKey) error {
	return func(c *checker, ctx context.Context, k storedKey) error {
		return c.members(ctx, k.text, func(member string) string { return k.prefix() + prefix + member }, field, k.name)
	}
}

// resourcesOf judges the members of an index of the control plane.
func resourcesOf(record func(string) string) func(*checker, context.Context, storedKey) error {
	return func(c *checker, ctx context.Context, k storedKey) error {
		return c.members(ctx, k.text, record, "", "")
	}
}

// members judges the members of a sorted set, page by page: each names a record that is there, and has a value in a field if one is
// given.
func (c *checker) members(ctx context.Context, key string, recordOf func(string) string, field, value string) error {
	return c.pages(func(cursor uint64) ([]string, uint64, error) {
		return c.redis.ZScan(ctx, key, cursor, "", judgedBatch).Result()
	}, 2, func(page []string) error {
		keys, args := []string{key}, []any{field, value}
		for i := 0; i < len(page); i += 2 { // beside each member is its score
			keys = append(keys, recordOf(page[i]))
			args = append(args, page[i])
		}
		_, err := c.judge(ctx, checkIndexScript, keys, args...)
		return err
	})
}

// pages scans a collection to its end, in pages of bounded size. An element takes so many places of a page.
func (c *checker) pages(scan func(cursor uint64) ([]string, uint64, error), places int, each func([]string) error) error {
	var cursor uint64
	for {
		all, next, err := scan(cursor)
		if err != nil {
			if isWrongType(err) { // it has just become one: the next check reports it
				return nil
			}
			return c.failed(err, 0)
		}
		for page := range slices.Chunk(all, places*judgedBatch) {
			if err := each(page); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// checkTTL judges the TTL key of a reservation.
func (c *checker) checkTTL(ctx context.Context, k storedKey) error {
	of, err := c.read(ctx, playerSessionKey(k.ref()), "deadline")
	if err != nil {
		return err
	}
	_, err = c.judge(ctx, checkExpiryScript, []string{k.text}, of.text(0), c.retention.Milliseconds())
	return err
}

// checkExpiry judges a key that expires, at whatever time.
func (c *checker) checkExpiry(ctx context.Context, k storedKey) error {
	_, err := c.judge(ctx, checkExpiryScript, []string{k.text}, "", c.retention.Milliseconds())
	return err
}

// resourceIn judges a resource of the control plane that one index has.
func resourceIn(index string) func(*checker, context.Context, storedKey) error {
	return func(c *checker, ctx context.Context, k storedKey) error {
		_, err := c.judge(ctx, checkResourceScript, []string{k.text, index}, k.name, "")
		return err
	}
}

// belongs judges whether what a key belongs to is there, and returns whether it is.
func (c *checker) belongs(ctx context.Context, key, owner string) (bool, error) {
	all, _, err := c.ask(ctx, checkBelongingScript, []string{key, owner})
	for _, f := range all {
		c.found(f)
	}
	return err == nil && len(all) == 0, err
}

// checkCreators judges a fleet's list of creators, or that of the game sessions of one of them, which expires.
func (c *checker) checkCreators(ctx context.Context, k storedKey) error {
	fleet, _, ofOne := strings.Cut(k.name, ":")
	if belongs, err := c.belongs(ctx, k.text, fleetKey(FleetID(fleet))); !belongs || err != nil || !ofOne {
		return err
	}
	return c.checkExpiry(ctx, k)
}

func (c *checker) checkCompute(ctx context.Context, k storedKey) error {
	id, name, _ := strings.Cut(k.name, ":")
	fleet := FleetID(id)
	for again := false; ; again = true {
		of, err := c.read(ctx, k.text, "location")
		if err != nil {
			return err
		}
		if gone, err := c.isGone(ctx, k.text); gone || err != nil {
			return err
		}
		if belongs, err := c.belongs(ctx, k.text, fleetKey(fleet)); !belongs || err != nil {
			return err
		}
		if of.text(0) == "" {
			if !again { // it may have been deregistered and registered again
				continue
			}
			c.found(Finding{Kind: FindingDamagedRecord, Keys: []string{k.text}, Problem: "the compute lacks its location"})
			return nil
		}
		ok, err := c.judge(ctx, checkResourceScript, []string{k.text, computesKey(fleet, ""), computesKey(fleet, of.text(0))}, name, of.text(0))
		if err != nil || ok {
			return err
		}
	}
}

// checkComputes judges a fleet's list of computes, all or those of one location.
func (c *checker) checkComputes(ctx context.Context, k storedKey) error {
	id, location, _ := strings.Cut(k.name, ":")
	fleet := FleetID(id)
	if belongs, err := c.belongs(ctx, k.text, fleetKey(fleet)); !belongs || err != nil {
		return err
	}
	field := ""
	if location != "" {
		field = "location"
	}
	return c.members(ctx, k.text, func(name string) string { return computeKey(fleet, name) }, field, location)
}

func (c *checker) checkTokens(ctx context.Context, k storedKey) error {
	fleet, name, _ := strings.Cut(k.name, ":")
	if belongs, err := c.belongs(ctx, k.text, computeKey(FleetID(fleet), name)); !belongs || err != nil {
		return err
	}
	_, err := c.judge(ctx, checkExpiryScript, []string{k.text}, "", computeAuthTokenLife.Milliseconds())
	return err
}

func (c *checker) checkTags(ctx context.Context, k storedKey) error {
	_, record, err := c.taggable(c.arn(k.name))
	if errors.Is(err, ErrNotFound) {
		c.found(Finding{Kind: FindingUnknownKey, Keys: []string{k.text}, Problem: "it holds tags of what can have none"})
		return nil
	}
	_, err = c.belongs(ctx, k.text, record)
	return err
}

// checkFleetLocations judges whether the locations of a fleet are there and list the fleet.
func (c *checker) checkFleetLocations(ctx context.Context, k storedKey) error {
	fleet := FleetID(k.name)
	if belongs, err := c.belongs(ctx, k.text, fleetKey(fleet)); !belongs || err != nil {
		return err
	}
	return c.pages(func(cursor uint64) ([]string, uint64, error) {
		return c.redis.ZScan(ctx, k.text, cursor, "", judgedBatch).Result()
	}, 2, func(page []string) error {
		for i := 0; i < len(page); i += 2 {
			if err := c.checkFleetLocation(ctx, fleet, page[i], true); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkLocationFleets judges whether the fleets that a location lists have it.
func (c *checker) checkLocationFleets(ctx context.Context, k storedKey) error {
	return c.pages(func(cursor uint64) ([]string, uint64, error) {
		return c.redis.SScan(ctx, k.text, cursor, "", judgedBatch).Result()
	}, 1, func(page []string) error {
		for _, fleet := range page {
			if err := c.checkFleetLocation(ctx, FleetID(fleet), k.name, false); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *checker) checkFleetLocation(ctx context.Context, fleet FleetID, location string, existence bool) error {
	_, err := c.judge(ctx, checkFleetLocationScript, []string{
		fleetKey(fleet), fleetLocationsKey(fleet), locationKey(location), locationFleetsKey(location), locationsKey,
	}, string(fleet), location, flag(existence))
	return err
}
