/** Random UUIDs without loading node:crypto, which costs four milliseconds, where the kernel gives them away. */
import { readFileSync } from 'node:fs';
import process from 'node:process';

/** A version 4 UUID in lower case. */
export function createUuid(): string {
  try {
    const uuid = readFileSync('/proc/sys/kernel/random/uuid', 'latin1').trim();
    if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) return uuid;
  } catch {
    // Not Linux.
  }
  return process.getBuiltinModule('node:crypto').randomUUID();
}
