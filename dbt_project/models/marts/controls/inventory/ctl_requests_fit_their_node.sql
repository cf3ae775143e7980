with

{{ billed_payers() }},

placed as (

    select
        *,
        coalesce(namespace, '') || '/' || coalesce(pod_name, pod_uid) || ' on '
        || instance_id || ' (' || instance_type || ')' as place
    from {{ ref('int_pod_hours__oversized') }}

),

-- Of several as large the example is always the same, whatever order the files come in.
oversized as (

    select
        billing_month,
        payer_account_id,
        count(*) as pod_hour_count,
        sum(amortized_usd) as amortized_usd,
        max_by(place, {{ pair('times_capacity', 'place') }}) as example,
        max(times_capacity) as times_capacity
    from placed
    group by billing_month, payer_account_id

),

final as (

    select
        payers.billing_month,
        payers.payer_account_id,
        'amortized' as cost_basis,
        {{ expects_none('oversized.pod_hour_count', 'oversized.amortized_usd') }}
        coalesce(oversized.pod_hour_count, 0)
        || ' pod-hours request more than their whole instance has'
        || coalesce(
            ', most of all ' || oversized.example || ': '
            || oversized.times_capacity::decimal(28, 1)::string || ' times',
            ''
        ) as evidence
    from payers
    left join oversized
        on
            payers.billing_month = oversized.billing_month
            and payers.payer_account_id = oversized.payer_account_id

)

select * from final
