import neostandard from 'neostandard'

// House rules beyond the style: files with one subject stay small. That imports run one way is for test/structure.
export default [
  ...neostandard({ ts: true, ignores: ['dist/**', '.tests/**', 'coverage/**', 'node_modules/**', 'bench/node_modules/**'] }),
  {
    rules: {
      eqeqeq: ['error', 'always'],
      'no-void': ['error', { allowAsStatement: true }], // `void promise`: nobody waits for it, on purpose
      '@typescript-eslint/no-redeclare': 'off', // a value and a type of one name are TypeScript's manner; tsc finds the rest
      'n/no-callback-literal': 'off' // not every parameter called `check` is a Node callback
    }
  },
  {
    files: ['lib/**/*.ts', 'plugins/**/*.ts'],
    rules: {
      'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 80, skipBlankLines: true, skipComments: true }],
      'no-console': 'error'
    }
  },
  {
    files: ['lib/cli/**/*.ts', 'lib/worker/**/*.ts'], // these speak to a terminal
    rules: { 'no-console': 'off' }
  },
  {
    files: ['lib/conformance/**/*.ts'], // a suite is a list of tests, one function a chapter
    rules: { 'max-lines-per-function': ['error', { max: 250, skipBlankLines: true, skipComments: true }] }
  }
]
