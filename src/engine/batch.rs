//! Groups windows into batches of like length, so that little is padded. Pure.

/// Indices of windows, each group at most `budget` tokens when padded to its longest (a single window may exceed it).
/// Longest first: the largest allocation comes first and the later ones fit into it.
pub fn batches(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(lengths[index]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for index in order {
        match batches.last_mut() {
            Some(batch) if room > 0 => {
                batch.push(index);
                room -= 1;
            }
            _ => {
                batches.push(vec![index]);
                room = (budget / lengths[index].max(1)).saturating_sub(1);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_window_once_within_the_budget(lengths in prop::collection::vec(1usize..200, 0..80), budget in 1usize..900) {
            let groups = batches(&lengths, budget);
            let mut seen: Vec<usize> = groups.iter().flatten().copied().collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for group in groups {
                let longest = group.iter().map(|&i| lengths[i]).max().unwrap_or(0);
                prop_assert!(group.len() == 1 || longest * group.len() <= budget);
            }
        }
    }
}
