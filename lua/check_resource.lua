-- check_resource.lua: judges a fleet, location, compute, alias or queue by its record, and lists it where it should be.
--
-- KEYS[1] resource  hash
-- KEYS[2..] the indexes that must have it  sorted set: name -> creation in ms
-- ARGV[1] 1 to mend, 0 to report only
-- ARGV[2] its name in the indexes
-- ARGV[3] its location, as the record had it; empty for what has none
--
-- A finding is {kind, 1 if mended, what is wrong, key...}.
--
-- RETURNS OK {finding}...
-- RETURNS CHANGED
local mend = ARGV[1] == '1'
local reply = {'OK'}
local function report(kind, mendable, what, ...)
  reply[#reply + 1] = {kind, mend and mendable and 1 or 0, what, ...}
end

local record = redis.call('HMGET', KEYS[1], 'created', 'location')
if redis.call('EXISTS', KEYS[1]) == 0 or (record[2] or '') ~= ARGV[3] then
  return {'CHANGED'}
end
local created = record[1] or ''
if not tonumber(created) then
  report('damaged-record', false, 'the record lacks its creation', KEYS[1])
  return reply
end
local missing = {}
for i = 2, #KEYS do
  local listed = redis.call('ZSCORE', KEYS[i], ARGV[2])
  if not listed or listed ~= created and tonumber(listed) ~= tonumber(created) then
    missing[#missing + 1] = KEYS[i]
    report('index', true, 'it was created at ' .. created .. ', and the index says ' .. (listed or 'nothing'), KEYS[i], KEYS[1])
  end
end

if mend then
  for _, index in ipairs(missing) do
    redis.call('ZADD', index, created, ARGV[2])
  end
end
return reply
