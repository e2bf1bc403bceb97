-- get_compute_auth_token.lua: keeps the hash of a token with which game servers on a compute may connect, until it expires.
--
-- KEYS[1] compute     hash
-- KEYS[2] its tokens  sorted set: token hash -> expiry in ms
-- ARGV[1] hash of the new token
-- ARGV[2] lifetime in ms
--
-- RETURNS OK expires_ms
-- RETURNS COMPUTE_NOT_FOUND
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'COMPUTE_NOT_FOUND'}
end

local expires = now + tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
redis.call('ZADD', KEYS[2], expires, ARGV[1])
redis.call('PEXPIREAT', KEYS[2], expires)
return {'OK', expires}
