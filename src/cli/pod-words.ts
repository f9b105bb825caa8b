import { UsageError } from '../errors.ts';

/** The words of `stop POD…` and its like: at least one, each once. */
export function podWords(argv: readonly unknown[], what = 'pod'): readonly string[] {
  const words = [...new Set(argv.map(String))];
  if (words.length === 0)
    throw new UsageError(`no ${what} was named`, {
      remedies: [
        `see them with: jetpack ${what === 'pod' ? 'list' : what === 'app' ? 'app list POD' : 'images'}`,
      ],
    });
  return words;
}
