"""The scikit-learn pipeline that is trained: words, TF-IDF, multinomial naive Bayes, temperature."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline

from models.text_classifier.dataset import TextDataset, TooFewTexts
from models.text_classifier.features import terms

FOLDS = 5
SMOOTHING = (0.03, 0.1, 0.3)
COMMON = 1.8
"""A word in more of the texts than this many labels' worth is in texts of every kind: the, and, is."""
COMMON_BOUNDS = (0.3, 0.9)

PARAMETERS: dict[str, Any] = {
    "common": COMMON,
    "common_bounds": COMMON_BOUNDS,
    "min_df": 2,  # a word of a single text, a name or a typing error, tells nothing of the next
    "sublinear_tf": True,
    "fit_prior": False,  # how often a label was in the file says little of how often it will be asked for
    "folds": FOLDS,
}

Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def folds(data: TextDataset, seed: int) -> Folds:
    """Divide the texts for cross-validation; related texts stay together."""
    cut = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    return list(cut.split(data.texts, data.labels, data.groups))


def choose(data: TextDataset, parts: Folds) -> dict[float, float]:
    """Return each smoothing's mean accuracy in cross-validation, the best first. Raises TooFewTexts."""
    found = {}
    for alpha in SMOOTHING:
        right = []
        for training, test in parts:
            pipeline = _fitted(_bayes(alpha), data.rows(training))
            held = data.rows(test)
            right.append(np.mean(pipeline.predict(held.texts) == held.labels))
        found[alpha] = float(np.mean(right))
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def fit(data: TextDataset, alpha: float, parts: Folds) -> Pipeline:
    """Fit on all the texts; the temperature on what cross-validation says of them."""
    calibrated = CalibratedClassifierCV(_bayes(alpha), method="temperature", ensemble=False, cv=parts)
    return _fitted(calibrated, data)


def baseline(data: TextDataset) -> Pipeline:
    """Fit what one would try first."""
    return make_pipeline(CountVectorizer(), MultinomialNB()).fit(data.texts, data.labels)


def _fitted(classifier: Any, data: TextDataset) -> Pipeline:
    """Fit words, TF-IDF and this classifier. Raises TooFewTexts."""
    common = float(np.clip(COMMON / len(set(data.labels.tolist())), *COMMON_BOUNDS))
    counts = CountVectorizer(analyzer=terms, min_df=PARAMETERS["min_df"], max_df=common)
    tf_idf = TfidfTransformer(sublinear_tf=PARAMETERS["sublinear_tf"])
    try:
        return make_pipeline(counts, tf_idf, classifier).fit(data.texts, data.labels)
    except ValueError as unfit:  # no word is left, for one
        raise TooFewTexts(f"{data.source}: {unfit}") from None


def _bayes(alpha: float) -> MultinomialNB:
    return MultinomialNB(alpha=alpha, fit_prior=PARAMETERS["fit_prior"])
