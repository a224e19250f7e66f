-- Secrets of second factors are sealed from now on (server/access/factor.c does that at the next start, since SQL can't).
-- What was begun and not confirmed is begun anew.
INSERT INTO settings (name, value)
SELECT 'factor_secrets', 'plain' WHERE EXISTS (SELECT 1 FROM users WHERE totp_secret <> '' OR totp_pending <> '');
UPDATE users SET totp_pending = '';
