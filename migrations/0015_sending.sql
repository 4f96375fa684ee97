-- Sending at speed: a message changes twice and its recipients and attempt once or twice, all within a second.

-- room beside each row for its next version
alter table poststelle.outbound_messages set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
alter table poststelle.outbound_recipients set (fillfactor = 80);
alter table poststelle.delivery_attempts set (fillfactor = 70);

-- what may have expired, without looking at everything that is due
create index outbound_messages_deferred on poststelle.outbound_messages (account_id, expires_at) where state = 'deferred';
-- the lanes are asked one by one whether mail is due: the order index answers that too
drop index poststelle.outbound_messages_wake;
