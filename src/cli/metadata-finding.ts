/** Whether the metadata service answers, and as whom it runs: it is asked itself. */
import process from 'node:process';

import type { Config } from '../host/config.ts';
import type { Finding } from './host-info.ts';

const PATIENCE_MS = 2000;

interface Told {
  readonly service?: unknown;
  readonly version?: unknown;
  readonly uid?: unknown;
  readonly pods?: unknown;
}

/** Nothing where it is not the answer of ours. */
function parseTold(text: string): Told {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

/** The body of `/_info`; throws when nobody answers. */
function askService(port: number): Promise<Told> {
  // Loaded for this alone; an import() is not for a program with a code cache.
  const { get } = process.getBuiltinModule('node:http');
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path: '/_info', timeout: PATIENCE_MS };
    const request = get({ ...options, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > 65_536) request.destroy(new Error('it says too much'));
      });
      response.on('error', reject);
      response.on('end', () => {
        resolve(parseTold(text));
      });
    });
    request.on('timeout', () => request.destroy(new Error('it is silent')));
    request.on('error', reject);
  });
}

export async function findMetadataService(
  config: Config,
  version: string,
  nameOf: (uid: number) => string | undefined,
): Promise<Finding> {
  const what = 'metadata service';
  const where = `127.0.0.1:${String(config['mds.port'])}`;
  const lack = (value: string, cost: string): Finding => ({
    what,
    value,
    lack: { fatal: false, cost },
  });
  const start = 'start it with: systemctl start jetpack-mds, or jetpack-mds &';
  let told: Told;
  try {
    told = await askService(config['mds.port']);
  } catch {
    return lack(
      `does not answer at ${where}`,
      `apps get no answer at their AC_METADATA_URL; ${start}`,
    );
  }
  if (told.service !== 'jetpack-mds') {
    return lack(
      `another service answers at ${where}`,
      'apps ask it with their tokens; choose another mds.port',
    );
  }
  const user = typeof told.uid === 'number' ? (nameOf(told.uid) ?? String(told.uid)) : '?';
  const value = `answers at ${where} as ${user}, for ${String(told.pods)} pods`;
  if (told.uid === 0) return lack(value, 'it must not run as root; stop it');
  if (told.version !== version)
    return lack(
      `${value}, version ${String(told.version)}`,
      'it is of another version: restart it',
    );
  return { what, value };
}
