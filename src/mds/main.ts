/**
 * Entry of `jetpack-mds`. As root it only reads the configuration and becomes the shim, which comes back here as the service's
 * own user; started as that user (by a unit) it serves at once.
 */
import { readdirSync, readFileSync, realpathSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';

import { errnoOf, HostError, JetpackError, UsageError } from '../errors.ts';
import { childExec } from '../exec/child.ts';
import { ACCOUNT } from '../host/accounts.ts';
import { loadConfig, type Config } from '../host/config.ts';
import { findAccount, findGroupId } from '../host/local-accounts.ts';
import { MDS_KEY_BYTES } from '../host/mds-key.ts';
import { createAccessLog } from './access-log.ts';
import { handle } from './handler.ts';
import { launchArgv, NODE_FLAGS } from './launch.ts';
import { openListeners } from './listeners.ts';
import { createPodSource } from './pod-view.ts';
import { createMetadataServer, LIMITS } from './server.ts';
import { createSigner } from './signer.ts';

declare const VERSION: string;

const FIRST_SOCKET = 3;
const MAX_SOCKETS = 64;
const LOOK_AGAIN_MS = 3000;
/** For the last lines of the access log. */
const CLOSE_MS = 1000;

const USAGE = `usage: jetpack-mds [--config FILE] [-o KEY=VALUE]... [--quiet]

The metadata service of jetpack, for the apps of its pods (appc, spec/ace.md). Runs in the foreground;
started as root it becomes the user of mds.user. --quiet: no access log on standard output.
`;

function tell(message: string): void {
  try {
    writeSync(2, `jetpack-mds: ${message}\n`);
  } catch {
    // Nobody listens.
  }
}

interface Words {
  readonly config: string | undefined;
  readonly overrides: readonly string[];
  readonly quiet: boolean;
}

/** Undefined when it has been answered already. */
function parseWords(argv: readonly string[]): Words | undefined {
  const words: { config: string | undefined; overrides: string[]; quiet: boolean } = {
    config: process.env['JETPACK_CONF'],
    overrides: [],
    quiet: false,
  };
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [flag, inline] = /^(--[a-z]+)=(.*)$/s.exec(word)?.slice(1) ?? [word];
    const value = () => {
      const found = inline ?? rest.shift();
      if (found !== undefined) return found;
      throw new UsageError(`${String(flag)} needs a value`, { remedies: ['jetpack-mds --help'] });
    };
    if (flag === '--help' || flag === '-h' || flag === '--version') {
      writeSync(1, flag === '--version' ? `jetpack-mds ${VERSION}\n` : USAGE);
      return undefined;
    }
    if (flag === '--config') words.config = value();
    else if (flag === '-o' || flag === '--option') words.overrides.push(value());
    else if (flag === '--quiet') words.quiet = true;
    else throw new UsageError(`there is no flag ${word}`, { remedies: ['jetpack-mds --help'] });
  }
  return words;
}

/** sd_listen_fds(3). */
function inheritedSockets(): number {
  const count = Number(process.env['LISTEN_FDS'] ?? 0);
  if (process.env['LISTEN_PID'] !== String(process.pid)) return 0;
  return Number.isInteger(count) && count > 0 && count <= MAX_SOCKETS ? count : 0;
}

function launchAsRoot(config: Config, quiet: boolean): never {
  const account = findAccount(config['mds.user']);
  const gid = findGroupId(ACCOUNT);
  if (account === undefined || gid === undefined) {
    const missing = account === undefined ? `user ${config['mds.user']}` : `group ${ACCOUNT}`;
    throw new HostError('NOT_INITIALISED', `the ${missing} is missing on this host`, {
      remedies: ['jetpack init'],
    });
  }
  // Root sees before anybody starts what the service would only stumble over.
  readKey(config);
  const sockets = inheritedSockets();
  const argv = launchArgv(config, {
    account,
    gid,
    node: realpathSync(process.execPath),
    script: realpathSync(__filename),
    sockets,
  });
  // Node's execve(2) closes them: the shim fetches them from a child that holds them meanwhile.
  const handedOn =
    sockets === 0
      ? {}
      : {
          LISTEN_FDS: String(sockets),
          LISTEN_PID: String(process.pid),
          JETPACK_LISTEN_HOLDER: String(childExec.hold([argv[0], 'hold'], sockets)),
        };
  return childExec.replace(quiet ? [...argv, '--quiet'] : argv, handedOn);
}

function readKey(config: Config): Buffer {
  const file = path.join(config['root.mountpoint'], 'mds', 'hmac.key');
  try {
    const key = readFileSync(file);
    if (key.length === MDS_KEY_BYTES) return key;
  } catch (cause) {
    if (errnoOf(cause) === 'EACCES') {
      throw new HostError(
        'NOT_ROOT',
        `${os.userInfo().username} may not read ${file}: the metadata service runs as ${config['mds.user']}`,
        { remedies: ['sudo jetpack-mds', 'systemctl start jetpack-mds'], cause },
      );
    }
    throw new HostError('NOT_INITIALISED', `there is no key of the metadata service at ${file}`, {
      remedies: ['jetpack init', 'after a reboot: is the pool imported?'],
      cause,
    });
  }
  throw new HostError('NOT_INITIALISED', `${file} is no key of the metadata service`, {
    remedies: [`remove it (signatures of pods become void), then: jetpack init`],
  });
}

/** Before anybody asks: a pod's question is no time to find that out. */
function ensureReadable(folder: string): void {
  try {
    readdirSync(folder);
  } catch (cause) {
    throw new HostError('IO_FAILED', `cannot read ${folder}: ${errnoOf(cause) ?? String(cause)}`, {
      remedies: [`the user must be in the group ${ACCOUNT}`, 'jetpack init'],
      cause,
    });
  }
}

/**
 * The same process, with the flags that keep it small. Not with sockets of a service manager, which would not survive it: the unit
 * has the flags in its environment.
 */
function ensureFlags(): void {
  const given = [...process.execArgv, ...(process.env['NODE_OPTIONS'] ?? '').split(' ')];
  if (inheritedSockets() > 0 || NODE_FLAGS.every((flag) => given.includes(flag))) return;
  const conf = process.env['JETPACK_CONF'];
  childExec.replace(
    [process.execPath, ...NODE_FLAGS, __filename, ...process.argv.slice(2)],
    conf === undefined ? {} : { JETPACK_CONF: conf },
  );
}

function interfaces(): ReadonlyMap<string, readonly string[]> {
  return new Map(
    Object.entries(os.networkInterfaces()).map(([name, list]) => [
      name,
      (list ?? []).map(({ address }) => address),
    ]),
  );
}

async function serve(config: Config, quiet: boolean): Promise<void> {
  const key = readKey(config);
  const root = config['root.mountpoint'];
  const folders = { pods: path.join(root, 'pods'), images: path.join(root, 'images') };
  ensureReadable(folders.pods);
  const elapsed = () => performance.now();
  const pods = createPodSource(folders, elapsed);
  const log = quiet ? { add: () => undefined, close: () => Promise.resolve() } : createAccessLog(1);
  const startedAt = process.uptime();
  const ports = {
    pods,
    signer: createSigner(key),
    complain: tell,
    info: () => ({
      service: 'jetpack-mds',
      version: VERSION,
      uptimeSeconds: Math.round(process.uptime() - startedAt),
      uid: process.getuid?.(),
      gid: process.getgid?.(),
      pods: pods.count(),
      connections: server.counters.connections,
      requests: server.counters.requests,
      answers: Object.fromEntries(server.counters.byStatus),
      addresses: listeners.addresses,
      maxRssKb: process.resourceUsage().maxRSS,
    }),
  };
  const server = createMetadataServer({
    handle: (head) => handle(ports, head),
    log,
    limits: LIMITS,
    complain: tell,
    now: () => new Date(),
    elapsed,
  });
  const count = inheritedSockets();
  const listeners = await openListeners(
    { createListener: () => server.createListener(), interfaces, complain: tell },
    {
      port: config['mds.port'],
      wanted: config['mds.listen'],
      descriptors: Array.from({ length: count }, (_, i) => FIRST_SOCKET + i),
    },
  );
  tell(
    `listening on ${listeners.addresses.join(', ')} as ${String(process.getuid?.())}:${String(process.getgid?.())}`,
  );
  const again = setInterval(() => {
    listeners.refresh().catch((error: unknown) => tell(String(error)));
  }, LOOK_AGAIN_MS);
  const stop = (signal: NodeJS.Signals) => {
    clearInterval(again);
    // Whoever reads the log may have stopped reading: then the same signal, which nobody catches any more, ends a write that blocks.
    setTimeout(() => process.kill(process.pid, signal), CLOSE_MS);
    listeners.close();
    server.closeConnections();
    void log.close().then(() => process.exit(0));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

async function main(): Promise<void> {
  const words = parseWords(process.argv.slice(2));
  if (words === undefined) return;
  const config = loadConfig({
    file: words.config,
    overrides: words.overrides,
    defaults: {
      platform: process.platform === 'freebsd' ? 'freebsd' : 'linux',
      packageDir: path.dirname(__dirname),
    },
  });
  if (process.geteuid?.() === 0) launchAsRoot(config, words.quiet);
  ensureFlags();
  await serve(config, words.quiet);
}

main().catch((error: unknown) => {
  if (!(error instanceof JetpackError)) throw error;
  tell(error.message);
  for (const remedy of error.remedies) writeSync(2, `  try: ${remedy}\n`);
  process.exitCode = error.exitCode;
});
