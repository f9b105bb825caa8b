import { isIPv4, isIPv6 } from 'node:net';

/** 127.0.0.0/8, ::1 (in brackets or not), localhost and what is below it. */
export function isLoopbackHost(hostname: string): boolean {
  const host = hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (isIPv4(host)) return host.startsWith('127.');
  if (isIPv6(host)) return host === '::1' || /^(?:0+:){7}0*1$/.test(host);
  return host === 'localhost' || host.endsWith('.localhost');
}
