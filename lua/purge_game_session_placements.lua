-- purge_game_session_placements.lua: deletes placements that ended longer ago than the retention.
--
-- KEYS[1] partition ended placements  sorted set: placement ref -> end in ms
-- KEYS[2..] a placement each          hash
-- ARGV[1] retention in ms
-- ARGV[2..] a placement ref each, in the order of KEYS
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
  redis.call('DEL', KEYS[i])
  redis.call('ZREM', KEYS[1], ARGV[i])
end
return {'OK', #due}
