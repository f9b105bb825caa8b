/** Certificates as people make them, with openssl: an authority, and what it signs. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

export interface Pair {
  /** Files. */
  readonly cert: string;
  readonly key: string;
}

function openssl(...args: readonly string[]): void {
  execFileSync('/usr/bin/openssl', args, { stdio: 'ignore', timeout: 60_000 });
}

export class Authority implements Pair {
  readonly cert: string;
  readonly key: string;
  readonly #dir: string;
  readonly #name: string;

  constructor(dir: string, name: string) {
    this.#dir = dir;
    this.#name = name;
    this.cert = path.join(dir, `${name}.crt`);
    this.key = path.join(dir, `${name}.key`);
    openssl(
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-days', '2', '-subj', `/CN=${name}`, '-keyout', this.key, '-out', this.cert],
    );
  }

  /** `names`: `DNS:localhost`, `IP:127.0.0.1`. */
  sign(name: string, names: readonly string[] = ['DNS:localhost', 'IP:127.0.0.1']): Pair {
    const file = (suffix: string) => path.join(this.#dir, `${this.#name}-${name}.${suffix}`);
    writeFileSync(file('ext'), `subjectAltName=${names.join(',')}\n`);
    openssl(
      ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
      ...['-subj', `/CN=${name}`, '-keyout', file('key'), '-out', file('csr')],
    );
    openssl(
      ...['x509', '-req', '-days', '2', '-in', file('csr'), '-CA', this.cert, '-CAkey', this.key],
      ...['-CAcreateserial', '-extfile', file('ext'), '-out', file('crt')],
    );
    return { cert: file('crt'), key: file('key') };
  }
}

export function readPair(pair: Pair): { readonly cert: string; readonly key: string } {
  return { cert: readFileSync(pair.cert, 'utf8'), key: readFileSync(pair.key, 'utf8') };
}
