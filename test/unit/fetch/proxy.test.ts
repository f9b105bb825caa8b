import { describe, expect, it } from 'vitest';

import { HostError } from '../../../src/errors.ts';
import { isLoopbackHost } from '../../../src/fetch/registry/loopback.ts';
import { findProxy } from '../../../src/fetch/registry/proxy.ts';

const environment = {
  HTTP_PROXY: 'http://plain.example.com:3128',
  https_proxy: 'http://user:p%40ss@tls.example.com:3128',
  HTTPS_PROXY: 'http://other.example.com',
  NO_PROXY:
    'direct.example.com, .inner.example.com,10.0.0.0/8,192.0.2.7,[2001:db8::1]:5000,ported.example.com:5000,fd00::/8,*.star.example.com',
};

describe('findProxy', () => {
  it.each([
    ['http://registry.example.com', 'plain.example.com:3128'],
    ['https://registry.example.com', 'tls.example.com:3128'],
    ['https://direct.example.com', undefined],
    ['https://below.direct.example.com', undefined],
    ['https://notdirect.example.com', 'tls.example.com:3128'],
    ['https://inner.example.com', 'tls.example.com:3128'],
    ['https://a.b.inner.example.com:5000', undefined],
    ['https://x.star.example.com', undefined],
    ['https://star.example.com', 'tls.example.com:3128'],
    ['https://10.1.2.3:5000', undefined],
    ['https://11.1.2.3', 'tls.example.com:3128'],
    ['https://192.0.2.7', undefined],
    ['https://[2001:db8::1]:5000', undefined],
    ['https://[2001:db8::1]:5001', 'tls.example.com:3128'],
    ['https://[fd12::1]', undefined],
    ['https://ported.example.com:5000', undefined],
    ['https://ported.example.com', 'tls.example.com:3128'],
    ['http://127.0.0.1:5000', undefined],
    ['http://localhost:5000', undefined],
    ['http://[::1]:5000', undefined],
  ])('sends %s to %s', (url, proxy) => {
    expect(findProxy(new URL(url), environment)?.host).toBe(proxy);
  });

  it('is nothing without variables, with empty ones, and with NO_PROXY=*', () => {
    const url = new URL('https://example.com');
    expect(findProxy(url, {})).toBeUndefined();
    expect(findProxy(url, { HTTPS_PROXY: '' })).toBeUndefined();
    expect(findProxy(url, { ...environment, NO_PROXY: '*' })).toBeUndefined();
    // A proxy for requests without TLS is none for those with it.
    expect(findProxy(url, { HTTP_PROXY: 'http://plain.example.com' })).toBeUndefined();
  });

  it('takes a host without a scheme', () => {
    expect(findProxy(new URL('https://example.com'), { HTTPS_PROXY: 'proxy:3128' })?.href).toBe(
      'http://proxy:3128/',
    );
  });

  it.each([
    'socks5://user:secret@proxy:1080',
    'http://',
    'http://user:secret@:x',
    'http://user:secret%@proxy:3128',
  ])('refuses %s, and does not repeat its password', (text) => {
    const attempt = () => findProxy(new URL('https://example.com'), { HTTPS_PROXY: text });
    expect(attempt).toThrow(HostError);
    expect(attempt).not.toThrow(/secret/);
  });
});

describe('isLoopbackHost', () => {
  it.each([
    ['127.0.0.1', true],
    ['127.8.9.1', true],
    ['[::1]', true],
    ['0:0:0:0:0:0:0:1', true],
    ['localhost', true],
    ['x.localhost', true],
    ['128.0.0.1', false],
    ['127.example.com', false],
    ['127.0.0.1.example.com', false],
    ['[::2]', false],
    ['localhost.example.com', false],
  ])('%s: %s', (host, is) => {
    expect(isLoopbackHost(host)).toBe(is);
  });
});
