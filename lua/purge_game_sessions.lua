-- purge_game_sessions.lua: deletes game sessions that ended longer ago than the retention, once their player sessions are gone.
--
-- KEYS[1] partition ended games  sorted set: game session ref -> end in ms
-- KEYS[2..] three of each game session, in this order:
--   game session                hash
--   its player sessions         sorted set: player session ref -> 0, of one that has ended
--   game sessions of its fleet  sorted set: game session ref -> creation in ms
-- ARGV[1] retention in ms
-- ARGV[2..] a game session ref each, in the order of KEYS
--
-- RETURNS OK purged_count
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local due = {}
for i = 2, #ARGV do
  local ended = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if ended and tonumber(ended) <= now - tonumber(ARGV[1]) and redis.call('EXISTS', KEYS[3 * i - 3]) == 0 then
    due[#due + 1] = i
  end
end

for _, i in ipairs(due) do
  redis.call('DEL', KEYS[3 * i - 4])
  redis.call('ZREM', KEYS[3 * i - 2], ARGV[i])
  redis.call('ZREM', KEYS[1], ARGV[i])
end
return {'OK', #due}
