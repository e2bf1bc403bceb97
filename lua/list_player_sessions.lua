-- list_player_sessions.lua: lists player sessions of a game session behind one of them, in the order of their refs.
--
-- Those that have ended are the first of the set and in the order of their refs, so where to start among them is found by
-- halving. The others, never more than the game session has slots and reservations past their deadline, are all listed.
--
-- KEYS[1] player sessions of a game session  sorted set: player session ref -> deadline in ms while RESERVED, +inf while ACTIVE, 0 once ended
-- ARGV[1] player session ref behind which to start, empty for the first
-- ARGV[2] how many that have ended to list at most
--
-- RETURNS OK {player session ref that has not ended}... in any order, {player session ref that has ended}... in order
-- follows compares bytes, as the set does; Lua would compare as the server's locale does.
local function follows(ref, other)
  for i = 1, #ref do
    local x, y = string.byte(ref, i), string.byte(other, i) or -1
    if x ~= y then
      return x > y
    end
  end
  return false
end

local count = ARGV[2] ~= '0' and redis.call('ZCOUNT', KEYS[1], 0, 0) or 0
local first, behind = 0, count
while first < behind do
  local middle = math.floor((first + behind) / 2)
  if follows(redis.call('ZRANGE', KEYS[1], middle, middle)[1], ARGV[1]) then
    behind = middle
  else
    first = middle + 1
  end
end
local last = math.min(count, first + ARGV[2]) - 1
local ended = first <= last and redis.call('ZRANGE', KEYS[1], first, last) or {}
return {'OK', redis.call('ZRANGEBYSCORE', KEYS[1], '(0', '+inf'), ended}
