/** Random layers by two ways that must come to the same tree, or refuse the same entry. */
import {mkdtempSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {inspect, isDeepStrictEqual} from 'node:util'
import fc from 'fast-check'
import {layers, type Outcome, type RandomLayers, titlesOf, trials, without} from './random-layers.ts'

/** What layers come to, with a directory for whatever is needed to find out. */
export type Way = (base: string, list: RandomLayers) => Outcome

export function compareLayers(one: Way, other: Way): void {
  const base = mkdtempSync(join(tmpdir(), 'imgtool-compare-layers-'))
  try {
    fc.assert(
      fc.property(layers, (list) => {
        let left: RandomLayers = list
        for (;;) {
          const [first, second] = [one(join(base, 'one'), left), other(join(base, 'other'), left)]
          if (!isDeepStrictEqual(first, second)) throw new Error(explain(left, first, second))
          if (!('refused' in first)) break
          // The layers without what was refused are a better example than no tree at all.
          left = without(left, first)
        }
      }),
      trials,
    )
  } finally {
    rmSync(base, {recursive: true})
  }
}

function explain(list: RandomLayers, one: Outcome, other: Outcome): string {
  return [...titlesOf(list), 'one:', inspect(one), 'the other:', inspect(other)].join('\n')
}
