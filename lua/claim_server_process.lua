-- claim_server_process.lua: gives a game session to the first of the candidates that is idle. No other gets that one.
--
-- A candidate that this very claim has is answered as it stands. Those that are listed as idle and are not are struck off.
--
-- KEYS[1] partition reviews  sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- KEYS[2..] two of each candidate, in this order:
--   server process         hash
--   idle ones at location  sorted set: server process ref -> since when in ms
-- ARGV[1] claim
-- ARGV[2] game session ref
-- ARGV[3] id of the game session, as it ends its ARN
-- ARGV[4] when to review the claim, in ms from now
-- ARGV[5..] a server process ref each, in the order of KEYS
--
-- RETURNS OK server_process_ref {record}
-- RETURNS NONE
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local chosen
local stale = {}
for i = 5, #ARGV do
  local key = KEYS[2 * i - 8]
  local known = redis.call('HMGET', key, 'status', 'ready', 'connection', 'game', 'unhealthy', 'terminate_at', 'claim')
  if known[7] == ARGV[1] then
    return {'OK', ARGV[i], redis.call('HGETALL', key)}
  end
  if known[1] ~= 'ACTIVE' or not known[2] or not known[3] or known[4] or known[5] or known[6] then
    stale[#stale + 1] = i
  elseif not chosen and redis.call('ZSCORE', KEYS[2 * i - 7], ARGV[i]) then
    chosen = i
  end
end
local reply = {'NONE'}
if chosen then
  reply = {'OK', ARGV[chosen], redis.call('HGETALL', KEYS[2 * chosen - 8])}
end

for _, i in ipairs(stale) do
  redis.call('ZREM', KEYS[2 * i - 7], ARGV[i])
end
if chosen then
  redis.call('HSET', KEYS[2 * chosen - 8], 'claim', ARGV[1], 'game', ARGV[2], 'game_name', ARGV[3], 'claimed', string.format('%.0f', now))
  redis.call('ZREM', KEYS[2 * chosen - 7], ARGV[chosen])
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[4]), ARGV[chosen])
end
return reply
