-- attend_server_processes.lua: lists the server processes of a partition that are due, and notes that somebody sees to them.
--
-- When nobody has for a while, they could not report either: their silence counts from now on.
--
-- KEYS[1] partition reviews     sorted set: server process ref -> when it is to be reviewed next in ms (or earlier)
-- KEYS[2] partition attendance  hash: since when there has always been somebody, and when there was last, in ms; expires
-- ARGV[1] for how long being there counts, in ms
-- ARGV[2] how many to list
-- ARGV[3] by when they must be due, in ms; empty for the present time
-- ARGV[4] how long to keep the note, in ms
--
-- RETURNS OK now_ms since_ms server_process_ref...
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local noted = redis.call('HMGET', KEYS[2], 'since', 'last')
local since = noted[1]
if not noted[2] or now - noted[2] > tonumber(ARGV[1]) then
  since = string.format('%.0f', now)
end
local due = ARGV[3]
if due == '' then
  due = string.format('%.0f', now)
end
local reply = {'OK', now, since}
for _, ref in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', due, 'LIMIT', 0, ARGV[2])) do
  reply[#reply + 1] = ref
end

redis.call('HSET', KEYS[2], 'since', since, 'last', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return reply
