import Enter from './enter.ts';

export default class Exec extends Enter {
  static override usage = ['exec [FLAGS] POD[:APP] COMMAND ARGS…'];
}
