package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/berthgg/berth/allocator"
)

type checkCommand struct {
	Redis        string        `required:"" placeholder:"URL" help:"The store: redis:// or rediss:// for one node; redis-cluster://host:port?addr=host2:port2; redis-sentinel://host:port?master_name=name&addr=host2:port2."`
	RedisTimeout time.Duration `default:"10s" help:"How long a server of the store may take to answer."`
	Repair       bool          `help:"Mend what can be mended. Records are right, and what is derived from them is mended; nobody loses a slot, and keys that are not Berth's stay."`
}

// Help explains the output and the exit status.
func (checkCommand) Help() string {
	return `The check blocks nobody, and the store may be in use: what a store in use passes through is no finding. It writes nothing without --repair.

A line on stdout for each finding has its kind, the keys, what is wrong, and "mended" if it has been mended. The last line counts the keys.

The exit status is 0 if nothing is broken or all of it has been mended, 2 if something broken is left, and another if the store could not be checked: 1, or 80 for a mistake in the flags.`
}

// errBroken says that a check found what it did not mend.
var errBroken = errors.New("broken invariants are left")

// Run checks the store, and fails with errBroken when what it found is left.
func (k *checkCommand) Run(ctx context.Context) error {
	redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)})
	client, err := openRedis(k.Redis, k.RedisTimeout)
	if err != nil {
		return fmt.Errorf("--redis: %w", err)
	}
	defer client.Close()
	store, err := allocator.OpenStored(ctx, client)
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	return check(ctx, os.Stdout, store, k.Repair)
}

// check writes what is found as it is found, and then the counts.
func check(ctx context.Context, out io.Writer, store *allocator.Allocator, repair bool) error {
	var unwritten error
	write := func(format string, args ...any) {
		if _, err := fmt.Fprintf(out, format+"\n", args...); err != nil && unwritten == nil {
			unwritten = err
		}
	}
	checked, err := store.Check(ctx, repair, func(f allocator.Finding) {
		keys := make([]string, len(f.Keys))
		for i, key := range f.Keys {
			keys[i] = onOneLine(key)
		}
		mended := ""
		if f.Mended {
			mended = "; mended"
		}
		write("%s %s: %s%s", f.Kind, strings.Join(keys, " "), onOneLine(f.Problem), mended)
	})
	if err != nil {
		return fmt.Errorf("checking the store: %w", err)
	}
	write("keys checked: %d (game sessions: %d, player sessions: %d, placements: %d); findings: %d, mended: %d",
		checked.Keys, checked.GameSessions, checked.PlayerSessions, checked.Placements, checked.Findings, checked.Mended)
	switch left := checked.Findings - checked.Mended; {
	case unwritten != nil:
		return unwritten
	case left > 0:
		return fmt.Errorf("%w: %d", errBroken, left)
	}
	return nil
}

// onOneLine quotes a text that would not stay on its line: players choose their ids, which stand in keys.
func onOneLine(text string) string {
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
