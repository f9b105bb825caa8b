import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { findMetadataService } from '../../../src/cli/metadata-finding.ts';
import type { Config } from '../../../src/host/config.ts';

describe('whoever answers for the metadata service', () => {
  let server: Server;
  let body: string;
  beforeEach(async () => {
    server = createServer((_request, response) => response.end(body));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  afterEach(async () => {
    await new Promise((resolve) => server.close(resolve));
  });

  const find = () => {
    const config = { 'mds.port': (server.address() as AddressInfo).port } as Config;
    return findMetadataService(config, '1.2.3', () => '_jetpack');
  };

  it('is it', async () => {
    body = JSON.stringify({ service: 'jetpack-mds', version: '1.2.3', uid: 7, pods: 2 });
    const finding = await find();
    expect(finding.value).toMatch(/^answers at 127\.0\.0\.1:\d+ as _jetpack, for 2 pods$/);
    expect(finding.lack).toBeUndefined();
  });

  it.each(['', 'hello', 'null', '7', '[]', '{}', '{"service":"other"}'])(
    'is another service when it says %j',
    async (text) => {
      body = text;
      expect((await find()).value).toMatch(/^another service answers at 127\.0\.0\.1:\d+$/);
    },
  );
});
