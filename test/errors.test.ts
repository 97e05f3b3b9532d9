import {globSync, readFileSync} from 'node:fs'
import {fileURLToPath} from 'node:url'
import test from 'ava'
import {explainSystemError} from '../src/archive/system-error.ts'
import {codeOfErrno, errorCodes, ImgtoolError, isImgtoolError} from '../src/errors.ts'
import {systemError} from '../src/os/libc.ts'
import {explainWriteError} from '../src/output.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

test('has no code that nothing throws', (t) => {
  const files = globSync('{src,commands}/**/*.ts', {cwd: root}).filter((path) => path !== 'src/errors.ts')
  const sources = files.map((path) => readFileSync(`${root}/${path}`, 'utf8')).join('\n')
  t.deepEqual(
    Object.keys(errorCodes).filter((code) => !sources.includes(`'${code}'`)),
    [],
  )
})

test('learns where it happened, and keeps what it knew', (t) => {
  const cause = new Error('ENOENT')
  const inner = new ImgtoolError('TAR_INVALID', 'message', {entry: 'a', hint: 'Run: it', expected: '1', cause})
  const outer = inner.within({layer: 2, entry: 'b'}).within({archive: 'app.tar', layer: 7})
  t.is(outer.code, 'TAR_INVALID')
  t.is(outer.message, 'message')
  t.like(outer.details, {archive: 'app.tar', layer: 2, entry: 'a', hint: 'Run: it', expected: '1'})
  t.is(outer.cause, cause)
})

test('is its own cause when it had none, so that its stack is not lost', (t) => {
  const inner = new ImgtoolError('TAR_INVALID', 'message')
  t.is(inner.cause, undefined)
  t.is(inner.within({layer: 1}).cause, inner)
  t.is(inner.within({layer: 1}).within({archive: 'a'}).cause, inner)
})

test('has one code for what the system says, whoever asked it', (t) => {
  for (const [code, names] of [
    ['NO_SPACE', ['ENOSPC', 'EDQUOT', 'EFBIG']],
    ['PERMISSION_DENIED', ['EACCES', 'EPERM', 'EROFS']],
    ['SYSTEM_ERROR', ['EIO', 'EMFILE']],
  ] as const) {
    for (const name of names) {
      const refusal = Object.assign(new Error(name), {code: name, syscall: 'open'})
      t.is(codeOfErrno(name), code)
      for (const error of [
        explainSystemError(refusal, 'a', {}),
        explainWriteError(refusal, 'a'),
        systemError(name, 'do'),
      ])
        t.is((error as ImgtoolError).code, code, name)
    }
  }
})

test('is told from bugs', (t) => {
  t.true(isImgtoolError(new ImgtoolError('NO_SPACE', 'm').within({})))
  t.is(new ImgtoolError('NO_SPACE', 'm').name, 'ImgtoolError')
  for (const error of [new Error('m'), {code: 'NO_SPACE', message: 'm'}, undefined, null])
    t.false(isImgtoolError(error))
})
