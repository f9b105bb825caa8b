/** `--dns…` and `--hosts-entry`: what they make of /etc/resolv.conf and /etc/hosts. Pure. */
import { isIP } from 'node:net';

import { UsageError } from '../errors.ts';
import type { NameService } from '../pod/host-files.ts';
import type { Flags } from './run-grammar.ts';

const DOMAIN = /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$/;
const OPTION = /^[a-z0-9-]+(:\d+)?$/;
const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?$/;

function check(flag: string, text: string, pattern: RegExp, what: string): string {
  if (pattern.test(text)) return text;
  throw new UsageError(`--${flag} "${text}" is not ${what}`);
}

function parseResolver({ one, many }: Flags): NameService['resolver'] {
  const servers = many.get('dns') ?? [];
  const domain = one.get('dns-domain');
  const search = many.get('dns-search') ?? [];
  const options = many.get('dns-opt') ?? [];
  const word = servers.find((server) => server === 'host' || server === 'none');
  if (word !== undefined) {
    if (servers.length + search.length + options.length + (domain === undefined ? 0 : 1) > 1) {
      throw new UsageError(`--dns=${word} does not go with other --dns flags`, {
        remedies: [
          word === 'host' ? 'the file of the host is taken as it is' : 'leave the others away',
        ],
      });
    }
    return word === 'host' ? 'host' : 'image';
  }
  const bad = servers.find((server) => isIP(server.replace(/%[A-Za-z0-9_.-]+$/, '')) === 0);
  if (bad !== undefined) {
    throw new UsageError(`--dns "${bad}" is not an address`, {
      remedies: ['--dns=9.9.9.9', '--dns=host', '--dns=none'],
    });
  }
  const lines = [
    ...(domain === undefined ? [] : [`domain ${check('dns-domain', domain, DOMAIN, 'a domain')}`]),
    ...(search.length === 0
      ? []
      : [
          `search ${search.map((name) => check('dns-search', name, DOMAIN, 'a domain')).join(' ')}`,
        ]),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length === 0
      ? []
      : [
          `options ${options.map((option) => check('dns-opt', option, OPTION, 'an option of resolv.conf')).join(' ')}`,
        ]),
  ];
  return lines.length === 0 ? undefined : lines;
}

function parseHosts(entries: readonly string[]): NameService['hosts'] {
  if (entries.length === 0) return undefined;
  if (entries.includes('host')) {
    if (entries.length === 1) return 'host';
    throw new UsageError('--hosts-entry=host does not go with other entries');
  }
  return entries.map((entry) => {
    const [address = '', names = ''] = entry.split(/=(.*)/s);
    const hosts = names.split(',');
    if (isIP(address) === 0 || !hosts.every((host) => HOST_NAME.test(host))) {
      throw new UsageError(`--hosts-entry "${entry}" is not ADDRESS=NAME[,NAME…]`, {
        remedies: ['--hosts-entry=10.0.0.5=db', '--hosts-entry=host'],
      });
    }
    return `${address} ${hosts.join(' ')}`;
  });
}

export function parseNameService(pod: Flags): NameService {
  return { resolver: parseResolver(pod), hosts: parseHosts(pod.many.get('hosts-entry') ?? []) };
}
