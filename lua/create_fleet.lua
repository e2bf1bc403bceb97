-- create_fleet.lua: stores a new fleet with its locations, or answers with the one that is already there.
--
-- KEYS[1] fleet          hash
-- KEYS[2] its locations  sorted set: location name -> creation in ms
-- KEYS[3] fleets         sorted set: fleet id -> creation in ms
-- KEYS[4] locations      sorted set: location name -> creation in ms
-- KEYS[5] its tags       hash
-- KEYS[6..] the fleets of each location  set: fleet id
-- ARGV[1] fleet id
-- ARGV[2] how many fleets there may be
-- ARGV[3] how many tags and values follow the locations
-- ARGV[4..] the locations in the order of KEYS, tags and their values, fields of the record and their values
--
-- RETURNS OK {record}
-- RETURNS LOCATION_NOT_FOUND location
-- RETURNS LIMIT
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last_location = #KEYS - 2
local last_tag = last_location + tonumber(ARGV[3])

if redis.call('EXISTS', KEYS[1]) == 1 then
  return {'OK', redis.call('HGETALL', KEYS[1])}
end
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[2]) then
  return {'LIMIT'}
end
for i = 4, last_location do
  if not redis.call('ZSCORE', KEYS[4], ARGV[i]) then
    return {'LOCATION_NOT_FOUND', ARGV[i]}
  end
end

local record = {'created', string.format('%.0f', now), 'status', 'ACTIVE'}
for i = last_tag + 1, #ARGV do
  record[#record + 1] = ARGV[i]
end
redis.call('HSET', KEYS[1], unpack(record))
for i = 4, last_location do
  redis.call('ZADD', KEYS[2], now, ARGV[i])
  redis.call('SADD', KEYS[i + 2], ARGV[1])
end
if last_tag > last_location then
  redis.call('HSET', KEYS[5], unpack(ARGV, last_location + 1, last_tag))
end
redis.call('ZADD', KEYS[3], now, ARGV[1])
return {'OK', record}
