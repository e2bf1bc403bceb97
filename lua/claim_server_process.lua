-- claim_server_process.lua: gives a game session to the first of the candidates that is idle. No other gets that one.
--
-- A candidate that has this very game session is answered as it stands. Those that are listed as idle and are not are struck off.
--
-- KEYS[1] partition reviews  sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- KEYS[2..] two of each candidate, in this order:
--   server process         hash
--   idle ones at location  sorted set: server process ref -> since when in ms
-- ARGV[1] game session ref
-- ARGV[2] id of the game session, as it ends its ARN
-- ARGV[3] when to review the claim, in ms from now
-- ARGV[4..] a server process ref each, in the order of KEYS
--
-- RETURNS OK server_process_ref {record}
-- RETURNS NONE
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local chosen
local stale = {}
for i = 4, #ARGV do
  local key = KEYS[2 * i - 6]
  local known = redis.call('HMGET', key, 'status', 'ready', 'connection', 'game', 'unhealthy', 'terminate_at')
  local free = known[1] == 'ACTIVE' and known[2] and known[3] and not (known[4] or known[5] or known[6])
  if known[4] == ARGV[1] then
    return {'OK', ARGV[i], redis.call('HGETALL', key)}
  end
  if not free then
    stale[#stale + 1] = i
  elseif not chosen and redis.call('ZSCORE', KEYS[2 * i - 5], ARGV[i]) then
    chosen = i
  end
end
local reply = {'NONE'}
if chosen then
  reply = {'OK', ARGV[chosen], redis.call('HGETALL', KEYS[2 * chosen - 6])}
end

for _, i in ipairs(stale) do
  redis.call('ZREM', KEYS[2 * i - 5], ARGV[i])
end
if chosen then
  redis.call('HSET', KEYS[2 * chosen - 6], 'game', ARGV[1], 'game_name', ARGV[2], 'claimed', string.format('%.0f', now))
  redis.call('ZREM', KEYS[2 * chosen - 5], ARGV[chosen])
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[3]), ARGV[chosen])
end
return reply
