/**
 * Which proxy a request goes through, by the rules of curl and of Go's programs: HTTP_PROXY and HTTPS_PROXY by the scheme of
 * the URL, NO_PROXY a list of `*`, hosts (with all below them), addresses and networks, each with a port or without.
 * The lower-case spelling goes first. What is on this host is never behind a proxy. Pure.
 */
import { BlockList, isIP } from 'node:net';

import { HostError } from '../../errors.ts';
import { isLoopbackHost } from './loopback.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

function readVariable(environment: Environment, name: string): string {
  return (environment[name.toLowerCase()] || environment[name]) ?? '';
}

function bareHost(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
}

function portOf(url: URL): string {
  if (url.port !== '') return url.port;
  return url.protocol === 'https:' ? '443' : '80';
}

function isInNetwork(host: string, network: string): boolean {
  const [base = '', bits = ''] = network.split('/');
  const family = isIP(base);
  if (family === 0 || isIP(host) !== family || !/^\d{1,3}$/.test(bits)) return false;
  if (Number(bits) > (family === 4 ? 32 : 128)) return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const list = new BlockList();
  list.addSubnet(base, Number(bits), type);
  return list.check(host, type);
}

function matches(host: string, port: string, entry: string): boolean {
  if (entry === '*') return true;
  if (entry.includes('/')) return isInNetwork(host, entry);
  const [, bracketed, bracketedPort] = /^\[([^\]]*)\](?::(\d+))?$/.exec(entry) ?? [];
  const [, plain, plainPort] = isIP(entry) === 6 ? [] : (/^([^:]*)(?::(\d+))?$/.exec(entry) ?? []);
  const name = bracketed ?? plain ?? entry;
  const wantedPort = bracketedPort ?? plainPort;
  if (wantedPort !== undefined && wantedPort !== port) return false;
  if (isIP(name) !== 0) return name === host;
  const suffix = name.replace(/^\*?\.?/, '');
  if (suffix === '') return false;
  // ".example.com" is for what is below it, "example.com" for itself too.
  return host.endsWith(`.${suffix}`) || (host === suffix && !/^\*?\./.test(name));
}

/** Undefined: no proxy. Throws CONFIG_INVALID for one that cannot be used. */
export function findProxy(url: URL, environment: Environment): URL | undefined {
  const variable = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const text = readVariable(environment, variable).trim();
  const host = bareHost(url);
  if (text === '' || isLoopbackHost(host)) return undefined;
  const exceptions = readVariable(environment, 'NO_PROXY')
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .filter((entry) => entry !== '');
  if (exceptions.some((entry) => matches(host, portOf(url), entry))) return undefined;
  return parseProxy(variable, text);
}

/** The value may have a password: no message repeats it. */
function parseProxy(variable: string, text: string): URL {
  const url = URL.parse(/^[a-zA-Z][a-zA-Z0-9+.-]*:\/\//.test(text) ? text : `http://${text}`);
  const isUrl = url !== null && url.hostname !== '';
  if (isUrl && ['http:', 'https:'].includes(url.protocol)) {
    if (isEncoded(url.username) && isEncoded(url.password)) return url;
    throw new HostError(
      'CONFIG_INVALID',
      `the user or password of the proxy in the variable ${variable} has a % that begins no code`,
      { remedies: ['write % as %25 there, @ as %40 and : as %3a'] },
    );
  }
  const why = isUrl ? `has the scheme ${url.protocol}//` : 'is no URL';
  throw new HostError('CONFIG_INVALID', `the proxy in the variable ${variable} ${why}`, {
    remedies: [`write it like ${variable}=http://proxy.example.com:3128`],
  });
}

function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
