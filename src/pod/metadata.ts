/**
 * Where a pod finds its metadata (appc, spec/ace.md): `http://127.0.0.1:PORT/TOKEN`. The token names the pod and proves it:
 * base64url of the pod's uuid (16 bytes) and a secret of 32 random bytes. It is kept in the pod's folder for the metadata
 * service, and in the plan for the apps; nowhere else.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

import { isGone } from './model.ts';

/** The file of a pod's folder that has its URL, and nothing but that and a line feed. */
export const METADATA_FILE = 'metadata-url';

export const SECRET_BYTES = 32;

/** What the plan says of the metadata service. */
export interface PodMetadata {
  readonly url: string;
  readonly port: number;
  /** Tell when the service does not answer. */
  readonly warn: boolean;
  /** The account that a relay into the pod's network runs as; without it there is none. */
  readonly relay: { readonly uid: number; readonly gid: number } | undefined;
}

export function metadataToken(uuid: string, secret: Uint8Array): string {
  const id = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  return Buffer.concat([id, secret]).toString('base64url');
}

export function metadataUrl(port: number, token: string): string {
  return `http://127.0.0.1:${String(port)}/${token}`;
}

/** From the kernel, since loading node:crypto costs a start some milliseconds. */
export function createSecret(): Uint8Array {
  const secret = Buffer.alloc(SECRET_BYTES);
  try {
    const fd = openSync('/dev/urandom', 'r');
    try {
      if (readSync(fd, secret, 0, SECRET_BYTES, null) === SECRET_BYTES) return secret;
    } finally {
      closeSync(fd);
    }
  } catch {
    // A host without it has OpenSSL's.
  }
  return process.getBuiltinModule('node:crypto').randomBytes(SECRET_BYTES);
}

/** The URL of a pod that was prepared before; undefined when the pod, or the file, is gone. */
export function findMetadataUrl(podDir: string): string | undefined {
  try {
    return readFileSync(path.join(podDir, METADATA_FILE), 'utf8').trimEnd();
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}
