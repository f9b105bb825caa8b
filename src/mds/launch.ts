/** How root starts the service: by the shim, which leaves of root nothing but the sockets. Pure. */
import path from 'node:path';

import { isIP } from 'node:net';

import type { Config } from '../host/config.ts';

/**
 * A heap that fits the work, and no compiler, whose code and memory would be a third of the process: an answer takes some hundred
 * microseconds without. All of them may stand in NODE_OPTIONS.
 */
export const NODE_FLAGS = [
  '--jitless',
  '--max-old-space-size=12',
  '--max-semi-space-size=1',
  '--v8-pool-size=0',
] as const;

export interface LaunchFacts {
  readonly account: { readonly uid: number };
  /** Of the group that may read pods. */
  readonly gid: number;
  /** Paths without symbolic links. */
  readonly node: string;
  readonly script: string;
  /** How many a service manager has handed over: then it says where to listen. */
  readonly sockets: number;
}

/** The words that make the service the same without its configuration file, which it cannot see. */
function settings(config: Config): readonly string[] {
  const keys = ['root.mountpoint', 'mds.port', 'mds.listen', 'mds.user'] as const;
  return keys.flatMap((key) => ['-o', `${key}=${String(config[key])}`]);
}

export function launchArgv(config: Config, facts: LaunchFacts): readonly [string, ...string[]] {
  const root = config['root.mountpoint'];
  const programs = new Set([facts.node, facts.script].map((file) => path.dirname(file)));
  const addresses = facts.sockets > 0 ? [] : config['mds.listen'].filter((item) => isIP(item));
  return [
    path.join(config['path.libexec'], 'jetpack-shim'),
    'mds',
    '--uid',
    String(facts.account.uid),
    '--gid',
    String(facts.gid),
    '--port',
    String(config['mds.port']),
    ...addresses.flatMap((address) => ['--listen', address]),
    ...[...programs].flatMap((dir) => ['--program', dir]),
    ...['pods', 'images', 'mds'].flatMap((name) => ['--data', path.join(root, name)]),
    '--',
    facts.node,
    ...NODE_FLAGS,
    facts.script,
    ...settings(config),
  ];
}
