import { appendFileSync, mkdirSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { beforeEach, describe, expect, it } from 'vitest';

import { AppLog, parseLogLine } from '../../../src/pod/logs.ts';

let dir: string;
let file: string;

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'jetpack-logs-'));
  mkdirSync(path.join(dir, 'logs'));
  file = path.join(dir, 'logs', 'web');
});

const line = (n: number, text: string, tag = 'F') =>
  `2026-01-01T00:00:00.00000000${String(n)}Z stdout ${tag} ${text}\n`;
const texts = (log: AppLog) => log.read().map(({ text }) => text);

describe('log lines', () => {
  it('are parsed with all spaces of their text', () => {
    expect(parseLogLine('T stderr P  two  spaces ')).toEqual({
      time: 'T',
      stream: 'stderr',
      text: ' two  spaces ',
      partial: true,
    });
    expect(parseLogLine('T stdout F ')).toMatchObject({ text: '', partial: false });
    expect(parseLogLine('nonsense')).toBeUndefined();
  });
});

describe('the log of an app', () => {
  it('is read from the oldest rotated file to the newest', () => {
    writeFileSync(`${file}.2`, line(1, 'one'));
    writeFileSync(`${file}.1`, line(2, 'two'));
    writeFileSync(file, line(3, 'three'));
    expect(texts(new AppLog(dir, 'web'))).toEqual(['one', 'two', 'three']);
  });

  it('does not take the files of another app whose name begins alike', () => {
    writeFileSync(path.join(dir, 'logs', 'web-2'), line(1, 'other'));
    writeFileSync(file, line(1, 'own'));
    expect(texts(new AppLog(dir, 'web'))).toEqual(['own']);
  });

  it('goes on where it was, with half-written lines kept until they are whole', () => {
    writeFileSync(file, line(1, 'one') + line(2, 'two').slice(0, 20));
    const log = new AppLog(dir, 'web');
    expect(texts(log)).toEqual(['one']);
    appendFileSync(file, line(2, 'two').slice(20));
    expect(texts(log)).toEqual(['two']);
    expect(texts(log)).toEqual([]);
  });

  it('loses nothing over a rotation', () => {
    writeFileSync(file, line(1, 'one'));
    const log = new AppLog(dir, 'web');
    expect(texts(log)).toEqual(['one']);
    appendFileSync(file, line(2, 'two'));
    renameSync(file, `${file}.1`);
    writeFileSync(file, line(3, 'three'));
    expect(texts(log)).toEqual(['two', 'three']);
  });

  it('may not be there yet', () => {
    const log = new AppLog(dir, 'web');
    expect(texts(log)).toEqual([]);
    writeFileSync(file, line(1, 'one'));
    expect(texts(log)).toEqual(['one']);
  });
});
