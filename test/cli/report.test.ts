import {readdirSync} from 'node:fs'
import {Errors} from '@oclif/core'
import test from 'ava'
import {reportError} from '../../src/cli/report.ts'
import {type ErrorCode, ImgtoolError} from '../../src/errors.ts'

const quiet = {debug: false}

test('an error is one line, with what its message does not say', (t) => {
  const error = new ImgtoolError('TAR_INVALID', 'Cannot read the header of layer 3', {
    archive: 'app.tar',
    layer: 3,
    entry: 'etc/\u001b[31mx\xff',
  })
  t.is(
    reportError(error, quiet).text,
    'Error: Cannot read the header of layer 3 (archive app.tar, entry etc/\\x1b[31mx\\xff)\n',
  )
})

test('a hint is a line of its own', (t) => {
  const error = new ImgtoolError('NO_SPACE', 'Cannot write "x": no space\nleft', {hint: 'Free some'})
  t.is(reportError(error, quiet).text, 'Error: Cannot write "x": no space\\nleft\nHint: Free some\n')
})

test('a module that cannot be loaded for want of descriptors is no bug', (t) => {
  const error = Object.assign(new Error("EMFILE: too many open files, open 'x.ts'"), {code: 'EMFILE'})
  const report = reportError(error, quiet)
  t.is(report.text, 'Error: Cannot load the program: EMFILE, the system gives no more\n')
  t.is(report.json.error.code, 'SYSTEM_ERROR')
})

test('layer 1 is not taken as said where the message says layer 12', (t) => {
  const error = new ImgtoolError('TAR_INVALID', 'Cannot read layer 12', {layer: 1})
  t.is(reportError(error, quiet).text, 'Error: Cannot read layer 12 (layer 1)\n')
})

test('a name is taken as said where it is quoted, and not where it is a part of a word', (t) => {
  const details = {archive: 'l', entry: 'blob'}
  const error = new ImgtoolError('BLOB_MISSING', 'Cannot find layer 0 of blobs', details)
  t.is(reportError(error, quiet).text, 'Error: Cannot find layer 0 of blobs (archive l, entry blob)\n')
  for (const message of ['Cannot read "blob" of "l"', 'Cannot read "/blob" of "l"'])
    t.is(reportError(new ImgtoolError('BLOB_MISSING', message, details), quiet).text, `Error: ${message}\n`)
})

test('errors of usage point to the help and exit with 2', (t) => {
  const report = reportError(new ImgtoolError('REFERENCE_INVALID', 'Cannot read it'), {...quiet, command: 'tree'})
  t.is(report.text, 'Error: Cannot read it\nSee: imgtool tree --help\n')
  t.is(report.exitCode, 2)
})

test("oclif's errors of usage become one line", (t) => {
  const error = new Errors.CLIError('The following error occurred:\n  \u001b[2mno\u001b[22m\nSee more help with --help')
  const report = reportError(error, {...quiet, command: 'tree'})
  t.is(report.text, 'Error: The following error occurred: no\nSee: imgtool tree --help\n')
  t.is(report.exitCode, 2)
  t.is(report.json.error.code, 'REFERENCE_INVALID')
})

const codes: Partial<Record<ErrorCode, number>> = {BLOB_MISSING: 1, LIMIT_EXCEEDED: 1, REFERENCE_INVALID: 2}
for (const [code, exitCode] of Object.entries(codes)) {
  test(`${code} exits with ${exitCode}`, (t) => {
    t.is(reportError(new ImgtoolError(code as ErrorCode, 'x'), quiet).exitCode, exitCode)
  })
}

test('an interrupted run exits as the shell says signals do', (t) => {
  const byKeyboard = new ImgtoolError('INTERRUPTED', 'x', {actual: 'SIGINT'})
  const byService = new ImgtoolError('INTERRUPTED', 'x', {actual: 'SIGTERM'})
  const byTerminal = new ImgtoolError('INTERRUPTED', 'x', {actual: 'SIGHUP'})
  const byProgram = new ImgtoolError('INTERRUPTED', 'x')
  t.deepEqual(
    [byKeyboard, byService, byTerminal, byProgram].map((error) => reportError(error, quiet).exitCode),
    [130, 143, 129, 130],
  )
})

test('a bug says so in one line, and shows its stack only when asked', (t) => {
  const bug = new TypeError('x is not\na function', {cause: new Error('deeper')})
  t.is(reportError(bug, quiet).text, 'Internal error: x is not\\na function\n')
  t.is(reportError(bug, quiet).exitCode, 1)
  t.is(reportError(bug, quiet).json.error.code, 'INTERNAL')
  const {text} = reportError(bug, {debug: true})
  t.regex(text, /report\.test\.ts/)
  t.regex(text, /Caused by: Error: deeper/)
  t.is(reportError('thrown text', {debug: true}).text, 'Internal error: thrown text\nthrown text\n')
})

test('what the system says is no bug, and has a meaning', (t) => {
  const error = t.throws(() => readdirSync('/nonexistent'))
  t.is(reportError(error, quiet).json.error.code, 'SYSTEM_ERROR')
  t.regex(reportError(error, quiet).text, /^Error: Cannot scandir "\/nonexistent": ENOENT, \w/)
})

test('the document has what the error has, and nothing else', (t) => {
  const details = {
    hint: 'h',
    archive: 'a.tar',
    layer: 0,
    entry: 'e\xff',
    expected: '1',
    actual: '2',
    cause: new Error('x'),
  }
  const error = new ImgtoolError('SIZE_MISMATCH', 'Cannot', details)
  t.deepEqual(reportError(error, quiet).json, {
    error: {
      code: 'SIZE_MISMATCH',
      message: 'Cannot',
      hint: 'h',
      archive: 'a.tar',
      layer: 0,
      entry: 'e\\xff',
      expected: '1',
      actual: '2',
    },
  })
  t.deepEqual(reportError(new ImgtoolError('NO_SPACE', 'x'), quiet).json, {error: {code: 'NO_SPACE', message: 'x'}})
})

test('the first error counts when closing things failed after it', (t) => {
  const first = new ImgtoolError('NO_SPACE', 'first')
  const report = reportError(new SuppressedError(new Error('second'), first), quiet)
  t.is(report.text, 'Error: first\n')
})
