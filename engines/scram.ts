/**
 * SCRAM-SHA-256 verifiers (RFC 5802, RFC 7677) as databases store them: a verifier lets a server check a password without
 * knowing it. Made once per password and kept, because a verifier has a salt of its own: making it anew would look like a
 * change on every pass.
 */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';

const ITERATIONS = 4096;

/** `SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>`, base64 parts. The password must be ASCII: no SASLprep is done. 16 random bytes make a good salt. */
export function scramVerifier(password: string, salt: Uint8Array): string {
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256');
  const clientKey = createHmac('sha256', salted).update('Client Key').digest();
  const storedKey = createHash('sha256').update(clientKey).digest('base64');
  const serverKey = createHmac('sha256', salted).update('Server Key').digest('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${Buffer.from(salt).toString('base64')}$${storedKey}:${serverKey}`;
}

/** Whether the verifier belongs to the password. */
export function verifies(verifier: string, password: string): boolean {
  const salt = /^SCRAM-SHA-256\$\d+:([^$]+)\$/.exec(verifier)?.[1];
  return salt !== undefined && scramVerifier(password, Buffer.from(salt, 'base64')) === verifier;
}
