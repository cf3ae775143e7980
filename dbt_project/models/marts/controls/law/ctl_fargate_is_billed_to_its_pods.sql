with

{{ told_bases() }},

bill as (

    select
        billing_month,
        payer_account_id,
        count(*) as line_count,
        {% for basis in bases() -%}
        sum({{ basis }}_usd) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('int_bill_lines__costed') }}
    where carries_pod
    group by billing_month, payer_account_id

),

pods as (

    select
        billing_month,
        payer_account_id,
        count(*) as pod_hour_count,
        {% for basis in bases() -%}
        sum({{ pod_money(basis, 'split') }})
        + sum({{ pod_money(basis, 'unused') }}) as {{ basis }}_usd
        {{- ',' if not loop.last }}
        {% endfor %}
    from {{ source('split', 'pod_costs') }}
    where instance_id is null
    group by billing_month, payer_account_id

),

compared as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        coalesce(bill.line_count, 0) as line_count,
        coalesce(pods.pod_hour_count, 0) as pod_hour_count,
        coalesce({{ of_basis('bill') }}, 0) as expected_usd,
        coalesce({{ of_basis('pods') }}, 0) as actual_usd
    from bases
    left join bill
        on
            bases.billing_month = bill.billing_month
            and bases.payer_account_id = bill.payer_account_id
    left join pods
        on
            bases.billing_month = pods.billing_month
            and bases.payer_account_id = pods.payer_account_id

),

final as (

    select
        billing_month,
        payer_account_id,
        cost_basis,
        expected_usd,
        actual_usd,
        expected_usd - actual_usd as residual_usd,
        expected_usd = actual_usd and (line_count = 0) = (pod_hour_count = 0) as is_passed,
        line_count || ' lines of Fargate, ' || pod_hour_count || ' pod-hours' as evidence
    from compared

)

select * from final
