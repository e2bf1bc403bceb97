-- purge_player_sessions.lua: deletes player sessions that ended longer ago than the retention, with every index entry of theirs.
--
-- The caller lists members of the partition's ended set; what is not due is left alone.
--
-- KEYS[1] partition ended  sorted set: player session ref -> end in ms
-- KEYS[2..] three of each player session, in this order:
--   player session                       hash
--   player sessions of its game session  sorted set: player session ref -> 0, of one that has ended
--   the player's sessions                sorted set: player session ref -> creation in ms
-- ARGV[1] retention in ms
-- ARGV[2..] a player session ref each, in the order of KEYS
--
-- RETURNS OK purged_count
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local due = {}
for i = 2, #ARGV do
  local ended = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if ended and tonumber(ended) <= now - tonumber(ARGV[1]) then
    due[#due + 1] = i
  end
end

for _, i in ipairs(due) do
  redis.call('DEL', KEYS[3 * i - 4])
  redis.call('ZREM', KEYS[3 * i - 3], ARGV[i])
  redis.call('ZREM', KEYS[3 * i - 2], ARGV[i])
  redis.call('ZREM', KEYS[1], ARGV[i])
end
return {'OK', #due}
