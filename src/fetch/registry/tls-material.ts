/**
 * Certificates for a registry, from the folders that Docker and containers/image have for it, `certs.d/<host[:port]>/`:
 * every `*.crt` is an authority to trust beside those of the system, `NAME.cert` with `NAME.key` is what we show.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as tls from 'node:tls';

import { errnoOf, HostError } from '../../errors.ts';
import { listFiles } from '../files/list-files.ts';

export interface TlsMaterial {
  readonly secureContext: tls.SecureContext;
  readonly rejectUnauthorized: boolean;
}

/** What the configuration of a registry says about it: names of files. */
export interface TlsSettings {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly insecureTls?: boolean | undefined;
}

function readPem(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new HostError(
      'CONFIG_INVALID',
      `cannot read the certificate or key ${file}: ${errnoOf(cause) ?? String(cause)}`,
      { cause },
    );
  }
}

interface FoundFiles {
  readonly authorities: readonly string[];
  readonly pairs: readonly { readonly cert: string; readonly key: string }[];
}

function findFiles(folder: string): FoundFiles {
  const names = listFiles(folder);
  const pairs = names
    .filter((name) => name.endsWith('.cert'))
    .map((name) => {
      const key = `${name.slice(0, -'.cert'.length)}.key`;
      if (names.includes(key))
        return { cert: path.join(folder, name), key: path.join(folder, key) };
      throw new HostError('CONFIG_INVALID', `${path.join(folder, name)} has no key beside it`, {
        remedies: [`the key belongs into ${path.join(folder, key)}`],
      });
    });
  const lonely = names.find(
    (name) => name.endsWith('.key') && !names.includes(`${name.slice(0, -'.key'.length)}.cert`),
  );
  if (lonely !== undefined) {
    throw new HostError(
      'CONFIG_INVALID',
      `${path.join(folder, lonely)} has no certificate beside it`,
      {
        remedies: ['a client certificate is NAME.cert with its NAME.key; authorities are NAME.crt'],
      },
    );
  }
  return {
    authorities: names
      .filter((name) => name.endsWith('.crt'))
      .map((name) => path.join(folder, name)),
    pairs,
  };
}

/** Those of Node and those of the system: `update-ca-certificates` must have its effect. */
function trustedAuthorities(): readonly string[] {
  return [...new Set([...tls.getCACertificates('default'), ...tls.getCACertificates('system')])];
}

/** Reads the material of one host after the other; the authorities of the system are parsed once. */
export function createTlsReader(
  folders: readonly string[],
): (host: string, settings: TlsSettings) => TlsMaterial {
  let trusted: readonly string[] | undefined;
  let plain: tls.SecureContext | undefined;
  return (host, settings) => {
    // The host comes from a redirect, perhaps: nothing but a host is a name in a folder.
    const isName = /^[A-Za-z0-9.:[\]-]+$/.test(host) && !host.startsWith('.');
    const found = isName ? folders.map((folder) => findFiles(path.join(folder, host))) : [];
    const authorities = [
      ...(settings.ca === undefined ? [] : [settings.ca]),
      ...found.flatMap((files) => files.authorities),
    ];
    const pair =
      settings.cert === undefined || settings.key === undefined
        ? found.flatMap((files) => files.pairs)[0]
        : { cert: settings.cert, key: settings.key };
    const rejectUnauthorized = settings.insecureTls !== true;
    trusted ??= trustedAuthorities();
    if (authorities.length === 0 && pair === undefined) {
      plain ??= tls.createSecureContext({ ca: [...trusted] });
      return { secureContext: plain, rejectUnauthorized };
    }
    const files = {
      ca: [...trusted, ...authorities.map(readPem)],
      ...(pair === undefined ? {} : { cert: readPem(pair.cert), key: readPem(pair.key) }),
    };
    try {
      return { secureContext: tls.createSecureContext(files), rejectUnauthorized };
    } catch (cause) {
      const names = [...authorities, ...(pair === undefined ? [] : [pair.cert, pair.key])];
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new HostError(
        'CONFIG_INVALID',
        `the certificates for ${host} cannot be used (${names.join(', ')}): ${why}`,
        {
          cause,
          remedies: ['they are PEM files; a key is not encrypted and fits its certificate'],
        },
      );
    }
  };
}
