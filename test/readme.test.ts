import {execFileSync} from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import test from 'ava'
import {defaultLimits, errorCodes} from '../src/index.ts'
import {scratch} from './helpers/layers.ts'

const root = path.resolve(import.meta.dirname, '..')
const readme = fs.readFileSync(path.join(root, 'README.md'), 'utf8')

function rows(name: string): string[][] {
  const [, table = ''] = new RegExp(String.raw`<!-- ${name} -->\n([\s\S]*?)<!-- /${name} -->`).exec(readme) ?? []
  return [...table.matchAll(/^\| `(\w+)` +\| (.*?) +\|.*$/gm)].map(([, code = '', text = '']) => [code, text])
}

test('the README lists every error code with its meaning', (t) => {
  t.deepEqual(rows('errors'), Object.entries(errorCodes))
})

test('the README lists every limit', (t) => {
  t.deepEqual(
    rows('limits').map(([name]) => name),
    Object.keys(defaultLimits),
  )
})

test('the README names every variable that sets a flag, and no other', (t) => {
  const [, list = ''] = /`IMGTOOL_(JSON`[\s\S]*?) set flags/.exec(readme) ?? []
  const named = [...list.matchAll(/(\w+)`/g)].map(([, name = '']) => `IMGTOOL_${name.replace(/^_/, '')}`)
  const sources = fs.globSync(['commands/*.ts', 'src/cli/*.ts'], {cwd: root})
  const known = sources.flatMap(
    (file) => fs.readFileSync(path.join(root, file), 'utf8').match(/\bIMGTOOL_[A-Z_]+/g) ?? [],
  )
  t.deepEqual(named.toSorted(), [...new Set(known)].toSorted())
})

test('the first command of the README draws what the README says', (t) => {
  const [, drawing = ''] = /parent tree of an image[\s\S]*?\n\n([\s\S]*?)\n\n/.exec(readme) ?? []
  const output = execFileSync(process.execPath, ['bin/run.js', 'tree', 'fixtures/docker-0.7.tar'], {cwd: root})
  t.is(output.toString().trimEnd(), drawing.replaceAll(/^ {4}/gm, ''))
})

test('the README names the package as npm pack does', (t) => {
  const {name, version} = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'))
  t.deepEqual([...new Set(readme.match(/\b[\w.-]+\.tgz\b/g))], [`${name}-${version}.tgz`])
})

test('the example of the README runs', (t) => {
  const [, example = ''] = /<!-- example -->\n```ts\n([\s\S]*?)```/.exec(readme) ?? []
  const directory = scratch(t)
  const script = path.join(directory, 'example.ts')
  const code = example
    .replace("from 'imgtool'", `from ${JSON.stringify(path.join(root, 'src/index.ts'))}`)
    .replace("'fixtures/", `'${root}/fixtures/`)
  fs.writeFileSync(script, code)
  fs.writeFileSync(path.join(directory, 'package.json'), '{"type": "module"}')
  const output = execFileSync(process.execPath, [script], {cwd: directory}).toString()
  t.regex(output, /^[0-9a-f]{12} shop\/base:2013$|^[0-9a-f]{12} shop\/web:1\.0/m)
  t.regex(output, /^srv\/web\S* \d+$/m)
  t.true(fs.existsSync(path.join(directory, 'rootfs/srv/web')))
})
