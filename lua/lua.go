// Package lua holds the scripts through which every change of Berth's state goes.
//
// Each script is one file and one atomic step of one concept, named like the operation that it serves:
// CreatePlayerSession runs create_player_session.lua. The header of the file is its contract: the keys and
// arguments that it takes and every reply that it gives, whose first element is a status word.
//
// The scripts keep to what Redis (6.2 and newer, cluster included) and miniredis do alike. They declare every
// key that they touch, take time from the server alone, decide before they write, and write all or nothing.
package lua

import "embed"

// Files holds every script under its file name.
//
//go:embed *.lua
var Files embed.FS

// Source returns the script of that name, without the .lua ending. It panics when there is none: names are
// constants of the program.
func Source(name string) string {
	source, err := Files.ReadFile(name + ".lua")
	if err != nil {
		panic("lua: no script " + name)
	}
	return string(source)
}
