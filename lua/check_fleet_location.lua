-- check_fleet_location.lua: judges whether a fleet and a location know of each other.
--
-- The fleet's list of its locations is right. A location that a fleet has and that does not exist is restored.
--
-- KEYS[1] fleet          hash
-- KEYS[2] its locations  sorted set: location name -> creation in ms
-- KEYS[3] location       hash
-- KEYS[4] its fleets     set: fleet id
-- KEYS[5] locations      sorted set: location name -> creation in ms
-- ARGV[1] 1 to mend, 0 to report only
-- ARGV[2] fleet id
-- ARGV[3] location name
-- ARGV[4] 1 to judge whether the location exists, too
--
-- A finding is {kind, 1 if mended, what is wrong, key...}.
--
-- RETURNS OK {finding}...
local mend = ARGV[1] == '1'
local reply = {'OK'}
local function report(kind, what, ...)
  reply[#reply + 1] = {kind, mend and 1 or 0, what, ...}
end

local added = redis.call('EXISTS', KEYS[1]) == 1 and redis.call('ZSCORE', KEYS[2], ARGV[3])
local known = redis.call('SISMEMBER', KEYS[4], ARGV[2]) == 1
local missing = ARGV[4] == '1' and added and redis.call('EXISTS', KEYS[3]) == 0
if missing then
  report('missing-record', 'the fleet has a location that does not exist', KEYS[3], KEYS[2])
end
if added and not known then
  report('index', 'the fleet has the location, which does not list the fleet', KEYS[4], KEYS[2])
end
if known and not added then
  report('stray-entry', 'the location lists a fleet that does not have it', KEYS[4], KEYS[2])
end

if mend and missing then
  redis.call('HSET', KEYS[3], 'created', added, 'created_by', '')
  redis.call('ZADD', KEYS[5], added, ARGV[3])
end
if mend and added and not known then
  redis.call('SADD', KEYS[4], ARGV[2])
end
if mend and known and not added then
  redis.call('SREM', KEYS[4], ARGV[2])
end
return reply
