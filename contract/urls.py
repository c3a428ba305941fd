"""The paths of the contract: the document for programs, and the page for people."""

from django.urls import path

from contract import views

urlpatterns = [
    path("asyncapi.json", views.AsyncApiView.as_view(), name="asyncapi"),
    path("asyncapi/", views.AsyncApiPageView.as_view(), name="asyncapi-page"),
]
