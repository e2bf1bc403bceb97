-- confirm_server_process.lua: notes that the game session is there for which a server process was claimed.
--
-- From then on no review takes the claim back, however old what it knows.
--
-- KEYS[1] server process  hash
-- ARGV[1] life
-- ARGV[2] game session ref
--
-- RETURNS OK
-- RETURNS NOT_FOUND
-- RETURNS ENDED
local known = redis.call('HMGET', KEYS[1], 'life', 'game', 'status', 'interrupted')
if known[1] ~= ARGV[1] or known[2] ~= ARGV[2] then
  return {'NOT_FOUND'} -- it has ended, or the claim was taken back
end
if known[3] ~= 'ACTIVE' or known[4] then
  return {'ENDED'} -- and somebody ends the game session with it
end

redis.call('HSET', KEYS[1], 'hosts', '1')
return {'OK'}
