/** What was probably meant by a word that is not known. */
import {closest, distance} from 'fastest-levenshtein'

/** The nearest of the words, when a slip of the fingers explains the difference. */
export function suggest(word: string, words: readonly string[]): string | undefined {
  if (words.length === 0) return undefined
  const nearest = closest(word, words)
  const letters = nearest.replace(/^-+/, '').length
  return distance(word, nearest) <= Math.max(1, Math.floor(letters / 2)) ? nearest : undefined
}
