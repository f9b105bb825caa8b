import Enter from './enter.ts';

export default class Exec extends Enter {
  static override summary = 'Run a command in a running app';
  static override usage = ['exec [FLAGS] POD[:APP] COMMAND ARGS…'];
  static override examples = [
    '<%= config.bin %> exec web cat /etc/passwd',
    '<%= config.bin %> exec -t --user=www web:nginx top',
  ];
}
