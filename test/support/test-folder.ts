/** Files of a test, in folders that are gone with it. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export class TestFolder {
  readonly #dirs: string[] = [];

  /** Files by their names, folders in them made as they come. */
  make(files: Readonly<Record<string, string>>, mode = 0o600): string {
    const dir = mkdtempSync(path.join(tmpdir(), 'jetpack-test-'));
    this.#dirs.push(dir);
    for (const [name, text] of Object.entries(files)) {
      const file = path.join(dir, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, text);
      chmodSync(file, mode);
    }
    return dir;
  }

  json(files: Readonly<Record<string, unknown>>, mode?: number): string {
    const texts = Object.entries(files).map(([name, value]) => [name, JSON.stringify(value)]);
    return this.make(Object.fromEntries(texts) as Record<string, string>, mode);
  }

  /** As Docker writes it: `user:password` by host. */
  authFile(logins: Readonly<Record<string, string>>): string {
    const auths = Object.fromEntries(
      Object.entries(logins).map(([host, login]) => [
        host,
        { auth: Buffer.from(login).toString('base64') },
      ]),
    );
    return path.join(this.json({ 'auth.json': { auths } }), 'auth.json');
  }

  remove(): void {
    for (const dir of this.#dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
  }
}
