-- untag_resource.lua: takes tags from a resource.
--
-- KEYS[1] resource  hash
-- KEYS[2] its tags  hash
-- ARGV[1..] tags
--
-- RETURNS OK
-- RETURNS RESOURCE_NOT_FOUND
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'RESOURCE_NOT_FOUND'}
end

if #ARGV > 0 then
  redis.call('HDEL', KEYS[2], unpack(ARGV))
end
return {'OK'}
