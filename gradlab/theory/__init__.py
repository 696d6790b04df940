"""What mean-field theory predicts for a config at initialization. No torch, no sampling but in one documented place.

    quadrature ◄ batch_norm ◄ mean_field ◄ coverage, outlook, width_noise ◄ prediction

    prediction = predict_on(config, datasets.load_for(config))

References:
    Poole et al. 2016, Exponential expressivity in deep neural networks through transient chaos.
    Schoenholz et al. 2017, Deep information propagation.
    Yang & Schoenholz 2017, Mean field residual networks: on the edge of chaos.
    Hanin & Nica 2018, Products of many large random matrices and gradients in deep neural networks.
    Yang et al. 2019, A mean field theory of batch normalization.
"""

from gradlab.theory.outlook import Outlook
from gradlab.theory.prediction import LayerPrediction, Prediction, predict, predict_on

__all__ = ["LayerPrediction", "Outlook", "Prediction", "predict", "predict_on"]
