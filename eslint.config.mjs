// ESLint: typescript-eslint's strictest rules, and the walls of the house (ARCHITECTURE.md).
import tseslint from 'typescript-eslint';

const processRooms = 'Only src/cli and src/exec read the process: take it as a parameter.';

const bannedGlobals = [
  { name: 'fetch', message: 'Only src/fetch reaches the network, through its own client.' },
  { name: 'process', message: "Import it: import process from 'node:process'." },
];

const bannedProcess = ['exit', 'env', 'platform', 'argv', 'chdir'].map((property) => ({
  object: 'process',
  property,
  message: processRooms,
}));

const bannedClock = [
  {
    object: 'Date',
    property: 'now',
    message: 'Take a clock as a parameter; only src/cli reads the real one.',
  },
  { object: 'Math', property: 'random', message: 'Use node:crypto.' },
];

const bannedImports = {
  paths: [
    { name: 'child_process', message: 'Only src/exec starts programs.' },
    { name: 'node:child_process', message: 'Only src/exec starts programs.' },
    { name: 'execa', message: 'Only src/exec starts programs.' },
    { name: 'zod', message: "Use 'zod/mini': it costs 2 ms at start where zod costs 21." },
  ],
};

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'shim/build/', 'coverage/', '.cache/'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/promise-function-async': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/strict-boolean-expressions': 'off',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      // `a ||= b` for empty strings is meant where it stands.
      '@typescript-eslint/prefer-nullish-coalescing': [
        'error',
        { ignorePrimitives: { string: true, boolean: true } },
      ],
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      // Ports are objects of closures: their methods may be taken out.
      '@typescript-eslint/unbound-method': 'off',
      // TypeScript's noPropertyAccessFromIndexSignature wants the brackets.
      '@typescript-eslint/dot-notation': 'off',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: false }],
      eqeqeq: 'error',
      'no-console': 'error',
      'no-control-regex': 'off',
      'prefer-const': 'error',
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      'no-restricted-globals': ['error', ...bannedGlobals],
      'no-restricted-imports': ['error', bannedImports],
      'no-restricted-properties': ['error', ...bannedProcess, ...bannedClock],
    },
  },
  {
    files: ['src/cli/**/*.ts', 'src/commands/**/*.ts', 'src/mds/main.ts'],
    rules: { 'no-restricted-properties': 'off' },
  },
  {
    files: ['src/exec/**/*.ts'],
    rules: {
      'no-restricted-imports': 'off',
      'no-restricted-properties': ['error', ...bannedClock],
    },
  },
  {
    files: ['src/fetch/**/*.ts'],
    rules: { 'no-restricted-globals': 'off' },
  },
  {
    files: ['test/**/*.ts'],
    rules: {
      // Asymmetric matchers and table tests.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      'no-restricted-properties': [
        'error',
        ...['only', 'skip', 'todo'].flatMap((property) =>
          ['it', 'test', 'describe'].map((object) => ({
            object,
            property,
            message: 'No focused, skipped or unwritten tests.',
          })),
        ),
        {
          object: 'vi',
          property: 'mock',
          message: 'Module mocks are banned: fake at the exec border (STYLE, Tests).',
        },
      ],
    },
  },
);
